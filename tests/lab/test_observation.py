"""What tells an accepted token from a refused one, on answers that are made up one by one."""

import pytest

from lab.attack.observation import ControlFailed, Judgement, Observation, Page

SIGNED_IN, SIGNED_OUT = Page(200, "", "Signed in as alice@example.org"), Page(200, "", "Please sign in")


def seen(
    status: int = 303,
    redirect: str = "https://sp.example/?",
    text: str = "",
    cookies: tuple[str, ...] = (),
    probe: Page | None = None,
) -> Observation:
    return Observation(Page(status, redirect, text), frozenset(cookies), redirect, probe)


def accepts(good: Observation, bad: Observation, it: Observation) -> bool:
    return Judgement([good, good], [bad]).accepts(it)[0]


def test_the_page_after_sign_in_outweighs_everything_else() -> None:
    good, bad = seen(cookies=("session",), probe=SIGNED_IN), seen(400, "", probe=SIGNED_OUT)
    assert not accepts(good, bad, seen(cookies=("session",), probe=SIGNED_OUT))
    assert accepts(good, bad, seen(500, "", probe=SIGNED_IN))


def test_where_that_page_is_like_neither_the_cookies_decide() -> None:
    good, bad = seen(cookies=("session",), probe=SIGNED_IN), seen(400, "", probe=SIGNED_OUT)
    nameless = Page(200, "", "Signed in as None")
    assert accepts(good, bad, seen(cookies=("session",), probe=nameless))
    assert not accepts(good, bad, seen(probe=nameless))


def test_a_cookie_that_garbage_gets_too_tells_nothing() -> None:
    good, bad = seen(cookies=("visitor", "session")), seen(400, "", cookies=("visitor",))
    assert not accepts(good, bad, seen(cookies=("visitor",)))
    assert accepts(good, bad, seen(cookies=("session", "visitor", "more")))


def test_without_cookies_the_redirect_decides_before_the_status() -> None:
    good, bad = seen(), seen(400, "")
    assert accepts(good, bad, seen())
    assert not accepts(good, bad, seen(303, "https://sp.example/login?error"))


@pytest.mark.parametrize("changing", ["Reference 4711", "Reference 0123456789abcdef0", "<b>Reference</b> 12"])
def test_what_changes_at_each_visit_is_not_compared(changing: str) -> None:
    good, bad = seen(200, "", "Welcome"), seen(200, "", "Error. Reference 0815")
    assert not accepts(good, bad, seen(200, "", f"Error. {changing}"))


def test_json_is_compared_by_its_names() -> None:
    good, bad = seen(200, "", '{"access_token": "a", "expires_in": 1}'), seen(200, "", '{"error": "x"}')
    assert accepts(good, bad, seen(200, "", '{"expires_in": 9, "access_token": "b"}'))
    assert not accepts(good, bad, seen(200, "", '{"error": "y"}'))


def test_an_answer_that_is_like_neither_is_a_refusal() -> None:
    assert not accepts(seen(204, ""), seen(401, ""), seen(418, ""))


def test_it_says_what_decided() -> None:
    judgement = Judgement([seen(204, "")] * 2, [seen(401, "")])
    assert judgement.accepts(seen(204, "")) == (True, "the status")


def test_good_tokens_that_are_answered_like_garbage_are_a_failed_control() -> None:
    with pytest.raises(ControlFailed, match="same answer"):
        Judgement([seen(200, ""), seen(200, "")], [seen(200, "")])


def test_good_tokens_that_are_answered_in_two_ways_are_a_failed_control() -> None:
    with pytest.raises(ControlFailed, match="different answers"):
        Judgement([seen(204, ""), seen(401, "")], [seen(401, "")])
