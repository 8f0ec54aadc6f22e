"""A sign-in that a browser has begun is bound to that browser, to a provider and to an hour."""

from collections.abc import Callable

import pytest
from itsdangerous import URLSafeSerializer
from werkzeug.http import parse_cookie
from werkzeug.wrappers import Response

from lab.clock import Clock
from sp.signin.pending import LIFETIME, MAX_COOKIE_BYTES, MAX_PENDING, Pending, PendingSignIns

KEY, OLD_KEY = "k" * 40, "o" * 40
HTTP = PendingSignIns([KEY], https=False)


class Browser:
    """Keeps cookies as a browser does."""

    def __init__(self) -> None:
        self.jar: dict[str, str] = {}

    def take(self, response: Response) -> None:
        for header in response.headers.getlist("Set-Cookie"):
            name, _equals, rest = header.partition("=")
            if "Max-Age=0" in header:
                self.jar.pop(name, None)
            else:
                self.jar.update(parse_cookie(f"{name}={rest.partition(';')[0]}"))

    def begin(self, signs: PendingSignIns = HTTP, provider: str = "p", path: str = "/") -> Pending:
        response = Response()
        begun = signs.begin(response, self.jar, provider, path)
        self.take(response)
        return begun


@pytest.fixture
def move_clock(clock: Clock) -> Callable[[float], None]:
    """Return the function that moves the clock on by so many seconds."""
    return lambda seconds: clock.tick(seconds=seconds)


def test_what_was_begun_is_found_in_the_browser_that_began_it() -> None:
    alice, mallory = Browser(), Browser()
    begun = alice.begin(path="/courses?a=b#c")
    assert HTTP.read(alice.jar, "p") == [begun]
    assert (begun.provider, begun.return_path) == ("p", "/courses?a=b#c")
    assert HTTP.read(mallory.jar, "p") == []


def test_a_nonce_is_long_random_and_only_its_hash_is_remembered() -> None:
    nonces = {Browser().begin().nonce for _ in range(200)}
    assert len(nonces) == 200
    assert min(map(len, nonces)) >= 32  # 24 random bytes
    begun = Browser().begin()
    assert len(begun.nonce_hash) == 32
    assert begun.nonce.encode() not in begun.nonce_hash


def test_what_was_begun_with_one_provider_answers_no_other() -> None:
    browser = Browser()
    browser.begin(provider="p")
    assert HTTP.read(browser.jar, "q") == []
    assert HTTP.trials(browser.jar, "p") == []


def test_several_tabs_do_not_overwrite_each_other_and_the_newest_comes_first(
    move_clock: Callable[[float], None],
) -> None:
    browser = Browser()
    begun = []
    for path in ("/a", "/b", "/c"):
        begun.append(browser.begin(path=path))
        move_clock(2)
    assert HTTP.read(browser.jar, "p") == begun[::-1]
    response = Response()
    HTTP.finish(response, begun[1])
    browser.take(response)
    assert HTTP.read(browser.jar, "p") == [begun[2], begun[0]]


def test_the_oldest_gives_way_to_the_sixth(move_clock: Callable[[float], None]) -> None:
    browser = Browser()
    begun = []
    for _ in range(MAX_PENDING + 3):
        begun.append(browser.begin())
        move_clock(2)
        assert len(browser.jar) <= MAX_PENDING
    assert HTTP.read(browser.jar, "p") == begun[: -MAX_PENDING - 1 : -1]


def test_long_paths_do_not_make_a_header_that_servers_refuse(move_clock: Callable[[float], None]) -> None:
    browser = Browser()
    for number in range(MAX_PENDING):
        last = browser.begin(path=f"/{number}" + "".join(chr(33 + (7 * n * n + n // 3) % 90) for n in range(2000)))
        move_clock(2)
        assert sum(map(len, browser.jar.values())) <= MAX_COOKIE_BYTES
    assert HTTP.read(browser.jar, "p")[0] == last
    assert max(map(len, browser.jar.values())) < 4096  # a browser keeps no longer one


def test_it_is_forgotten_after_an_hour(move_clock: Callable[[float], None]) -> None:
    browser = Browser()
    begun = browser.begin()
    move_clock(LIFETIME - 5)
    assert HTTP.read(browser.jar, "p") == [begun]
    move_clock(10)
    assert HTTP.read(browser.jar, "p") == []


FORGED: dict[str, Callable[[str], str]] = {
    "empty": lambda value: "",
    "unsigned": lambda value: value.rpartition(".")[0],
    "another signature": lambda value: value[:-20] + value[-20:].swapcase(),
    "another content": lambda value: "A" + value,
    "signed for another purpose": lambda _: str(
        URLSafeSerializer(KEY, salt="session").dumps(["n" * 32, "p", "/", 9e9])
    ),
    "signed with another key": lambda _: str(
        URLSafeSerializer("m" * 40, salt="lychgate pending sign-in").dumps(["n" * 32, "p", "/", 9e9])
    ),
    "a number": lambda _: str(URLSafeSerializer(KEY, salt="lychgate pending sign-in").dumps(7)),
    "too short a list": lambda _: str(URLSafeSerializer(KEY, salt="lychgate pending sign-in").dumps(["n"])),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_a_forged_cookie_is_no_sign_in_and_no_error(forge: Callable[[str], str]) -> None:
    browser = Browser()
    begun = browser.begin()
    browser.jar[begun.cookie] = forge(browser.jar[begun.cookie])
    assert HTTP.read(browser.jar, "p") == []
    browser.begin()  # and it gives way
    assert begun.cookie not in browser.jar


def test_a_cookie_of_another_name_is_not_looked_at() -> None:
    browser = Browser()
    begun = browser.begin()
    value = browser.jar.pop(begun.cookie)
    for name in ("sp_session", "__Host-sp_session", "x_" + begun.cookie, begun.cookie.upper()):
        assert HTTP.read({name: value}, "p") == []


def test_older_keys_still_verify_and_the_first_one_signs() -> None:
    browser = Browser()
    before = browser.begin(PendingSignIns([OLD_KEY], https=False))
    rotated = PendingSignIns([KEY, OLD_KEY], https=False)
    assert rotated.read(browser.jar, "p") == [before]
    after = Browser()
    begun = after.begin(rotated)
    assert HTTP.read(after.jar, "p") == [begun]
    assert PendingSignIns([OLD_KEY], https=False).read(after.jar, "p") == []


@pytest.mark.parametrize(
    ("https", "prefix", "attributes"),
    [
        (False, "sp_pending_", {"Path=/", "HttpOnly", "SameSite=Lax", f"Max-Age={LIFETIME}"}),
        (True, "__Host-sp_pending_", {"Path=/", "HttpOnly", "SameSite=None", "Secure", f"Max-Age={LIFETIME}"}),
    ],
)
def test_over_https_the_cookie_comes_along_with_a_foreign_post_and_is_bound_to_this_host(
    https: bool, prefix: str, attributes: set[str]
) -> None:
    response = Response()
    begun = PendingSignIns([KEY], https=https).begin(response, {}, "p", "/")
    header = response.headers["Set-Cookie"]
    assert begun.cookie.startswith(prefix)
    found = {part.strip() for part in header.split(";")[1:] if not part.strip().startswith("Expires")}
    assert found == attributes


def test_a_plain_cookie_is_not_taken_where_https_is_configured() -> None:
    """Over http, and from a neighbouring host, anybody can plant a cookie without the prefix __Host-."""
    browser = Browser()
    browser.begin()
    assert PendingSignIns([KEY], https=True).read(browser.jar, "p") == []


def test_a_trial_is_no_sign_in_and_a_sign_in_no_trial() -> None:
    browser, response = Browser(), Response()
    trial = HTTP.begin(response, browser.jar, "p", "/", trial="t-1", trial_by=7)
    browser.take(response)
    begun = browser.begin()
    assert HTTP.read(browser.jar, "p") == [begun]
    assert HTTP.trials(browser.jar, "p") == [trial]
    assert (trial.trial, trial.trial_by) == ("t-1", 7)


@pytest.mark.parametrize(
    "name",
    [
        "sp_pending_",
        "sp_pending_a,b",
        "sp_pending_0a1b2c3d",
        "sp_pending_{}x",
        "sp_pending_trial_{}",
        "sp_pending_{},b",
    ],
)
def test_attack_a_pending_sign_in_is_planted_under_another_name(name: str) -> None:
    alice = Browser()
    cookie = alice.begin().cookie
    planted = name.replace("{}", cookie.removeprefix("sp_pending_"))
    assert HTTP.read({planted: alice.jar[cookie]}, "p") == []
    assert HTTP.trials({planted: alice.jar[cookie]}, "p") == []
    assert HTTP.read({cookie: alice.jar[cookie], planted: alice.jar[cookie]}, "p") != []


def test_attack_an_ordinary_sign_in_is_planted_under_the_name_of_a_trial() -> None:
    response, alice = Response(), Browser()
    trial = HTTP.begin(response, {}, "p", "/", trial="t1", trial_by=7)
    alice.take(response)
    assert HTTP.trials(alice.jar, "p") == [trial]
    ordinary = trial.cookie.replace("trial_", "")
    assert HTTP.trials({ordinary: alice.jar[trial.cookie]}, "p") == []
    assert HTTP.trials({ordinary: alice.jar[trial.cookie], "sp_pending_trial_": ""}, "p") == []
