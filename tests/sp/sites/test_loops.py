"""A browser that blocks cookies at a site, at home, or at both ends on a page that names the cause."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from lab.cast import ALICE
from tests.sp.gateway.gate import Gate
from tests.sp.sites.browser import HOME, WIKI, Browser, Seen

MOST = 10  # redirects (docs/protocol.md)
AT_SITE, AT_HOME = urlsplit(WIKI).hostname, urlsplit(HOME).hostname
Blocks = Callable[[str, str], bool]

BLOCKED: dict[str, Blocks] = {
    "all at the site": lambda host, _name: host == AT_SITE,
    "the session at the site": lambda host, name: host == AT_SITE and "sp_session" in name,
    "all at home": lambda host, _name: host == AT_HOME,
    "the session at home": lambda host, name: host == AT_HOME and "sp_session" in name,
    "all at both": lambda _host, _name: True,
    "the session at both": lambda _host, name: "sp_session" in name,
}


def names_the_cause(seen: Seen) -> bool:
    return "cookies_blocked" in seen.answer.text and "returned no session cookie" in seen.answer.text


@pytest.mark.parametrize("unsolicited", ["restart", "accept"])
@pytest.mark.parametrize("blocks", BLOCKED)
def test_a_browser_that_blocks_cookies_ends_on_a_page_that_says_so(
    node: Callable[..., Gate], blocks: str, unsolicited: str
) -> None:
    gate = node(provider={"unsolicited": unsolicited})
    seen = Browser([gate], ALICE.email, BLOCKED[blocks]).visit(f"{WIKI}/page", MOST)
    assert len(seen.way) - 1 <= MOST
    assert seen.answer.status in (400, 401)
    assert names_the_cause(seen), seen.way


@pytest.mark.parametrize("blocks", ["all at the site", "the session at the site"])
def test_the_same_holds_for_a_person_who_is_signed_in_at_home(node: Callable[..., Gate], blocks: str) -> None:
    alice = Browser([node()], ALICE.email, BLOCKED[blocks])
    assert alice.visit(f"{HOME}/page").is_reached
    assert names_the_cause(alice.visit(f"{WIKI}/page", MOST))
    assert alice.is_in(HOME)


def test_a_browser_that_returns_its_cookies_may_begin_again_and_again(node: Callable[..., Gate]) -> None:
    alice = Browser([node()], ALICE.email)
    for _ in range(5):
        assert alice.visit(f"{WIKI}/page").is_reached
        assert alice.visit(f"{WIKI}/sso/start?return_to=/page").is_reached


def test_a_session_that_ended_elsewhere_a_moment_ago_is_no_loop(node: Callable[..., Gate]) -> None:
    gate = node()
    alice = Browser([gate], ALICE.email)
    assert alice.visit(f"{WIKI}/page").is_reached
    person = gate.core.people.find(ALICE.email)
    assert person is not None
    gate.core.sessions.end(account_id=person.id)
    assert alice.visit(f"{WIKI}/page").is_reached


def test_an_error_page_in_a_browser_with_cookies_does_not_speak_of_cookies(node: Callable[..., Gate]) -> None:
    seen = Browser([node()], ALICE.email).visit(f"{WIKI}/sso/land?ticket=x")
    assert seen.code == "ticket_invalid"
    assert "cookies_blocked" not in seen.answer.text
