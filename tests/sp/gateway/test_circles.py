"""Redirect loops: a browser that is signed in again and again gets a page that names the cause; others do not."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.wrappers import Response

from lab.cast import ALICE, CAROL
from lab.minting import ispring_token
from sp.signin.recent_landings import Landings
from tests.sp.gateway.gate import HOST, Gate

KEY = "k" * 48
BASE = f"http://{HOST}"
PAGE = {"Accept": "text/html", "User-Agent": "Browser/1.0"}


@pytest.fixture
def start(make: Callable[..., Gate]) -> Callable[..., Gate]:
    """Return the function that makes a gate whose provider has these settings."""

    def started(
        unsolicited: str, trust: Mapping[str, Any] | None = None, rules: Sequence[Any] = (), app: Any = None, **env: str
    ) -> Gate:
        gate = make(rules, app=app, **env)
        provider = {
            "default": True,
            "keys": [KEY],
            "login_url": "http://127.0.0.1:9/login",
            "unsolicited": unsolicited,
            **(trust or {}),
        }
        gate.core.provider_store.apply({"corporate": provider}, actor="test")
        return gate

    return started


class Browser:
    """Follows redirects by hand, and plays the identity provider that knows the person already.

    *forgets* names the beginnings of cookies that this browser does not return.
    """

    def __init__(
        self, gate: Gate, email: str, forgets: tuple[str, ...] = (), base: str = BASE, address: str = ""
    ) -> None:
        self.gate, self.email, self.forgets, self.base = gate, email, forgets, base
        self.address = address or "127.0.0.1"
        self.cookies: dict[str, str] = {}
        self.elsewhere: dict[str, str] = {}  # where pages of another site lead

    def visit(self, path: str, most: int = 20, stop: str = "no address") -> tuple[int, str, str]:
        """Open *path*; return the number of redirects, the URL of the last page and its text.

        A URL that begins with *stop* is not opened.
        """
        address = path
        for redirects in range(most):
            if address.startswith("http://127.0.0.1:9/login"):
                address = f"/sso/login/jwt?jwt={ispring_token(KEY, self.email)}"
                continue
            if address.startswith(stop):
                return redirects, address, ""
            if (leads := self.elsewhere.get(address.partition("?")[0])) is not None:
                address = leads
                continue
            parts = urlsplit(address)
            answer = self.gate.ask(
                parts.path,
                headers={
                    **PAGE,
                    **({"Cookie": self.cookie} if self.cookie else {}),
                    "Host": urlsplit(self.base).netloc,
                },
                query=parts.query,
                REMOTE_ADDR=self.address,
                **{"wsgi.url_scheme": urlsplit(self.base).scheme},
            )
            for name, value in answer.headers:
                if name == "Set-Cookie":
                    self.take(value)
            location = answer.header("Location")
            if location is None:
                return redirects, address, answer.text
            address = location.removeprefix(self.base) or "/"
        raise AssertionError(f"more than {most} redirects")

    @property
    def cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def take(self, cookie: str) -> None:
        name, _equals, value = cookie.partition(";")[0].partition("=")
        if "Max-Age=0" in cookie or not value:
            self.cookies.pop(name, None)
        elif not name.startswith(self.forgets):
            self.cookies[name] = value


def ends_on_the_page(gate: Gate, forgets: tuple[str, ...]) -> str:
    redirects, address, text = Browser(gate, ALICE.email, forgets).visit("/page")
    assert parse_qs(urlsplit(address).query)["code"] == ["cookies_blocked"], address
    assert redirects <= 10
    return text


@pytest.mark.parametrize("unsolicited", ["restart", "accept"])
def test_a_browser_that_returns_no_cookie_is_told_so(start: Callable[..., Gate], unsolicited: str) -> None:
    assert "returned no session cookie" in ends_on_the_page(start(unsolicited), ("sp_",))


@pytest.mark.parametrize("unsolicited", ["restart", "accept", "refuse"])
def test_a_browser_that_returns_all_but_the_session_is_told_so(start: Callable[..., Gate], unsolicited: str) -> None:
    assert "returned no session cookie" in ends_on_the_page(start(unsolicited), ("sp_session",))


def test_a_session_that_comes_back_and_is_not_known_points_at_clocks_and_databases(
    start: Callable[..., Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = start("restart")
    monkeypatch.setattr(gate.core.sessions, "_look_up", lambda *_arguments: None)
    text = ends_on_the_page(gate, ())
    assert "The clocks of the servers may differ" in text


def test_a_site_set_up_for_https_and_reached_over_http_is_named(start: Callable[..., Gate]) -> None:
    gate = start("restart", SP_EXTERNAL_URL="https://gate.example")
    browser = Browser(gate, ALICE.email, ("__Host-sp_",), base="http://gate.example")
    browser.base = "http://gate.example"
    address, text = "", ""
    for _ in range(4):  # each visit of the browser starts over http again, even after a redirect to https
        _redirects, address, text = over_http(browser)
        if "code=cookies_blocked" in address:
            break
    assert "code=cookies_blocked" in address
    assert "the request arrived over http" in text


def over_http(browser: Browser) -> tuple[int, str, str]:
    answer_base, browser.base = browser.base, "http://gate.example"
    original = browser.gate.ask

    def ask(*arguments: Any, **more: Any) -> Any:
        answer = original(*arguments, **more)
        answer.headers = [(n, v.replace("https://gate.example", "http://gate.example")) for n, v in answer.headers]
        return answer

    browser.gate.ask = ask  # type: ignore[method-assign]
    try:
        return browser.visit("/page")
    finally:
        browser.gate.ask = original  # type: ignore[method-assign]
        browser.base = answer_base


@pytest.mark.parametrize("unsolicited", ["restart", "accept", "refuse"])
def test_a_browser_that_returns_its_cookies_lands(start: Callable[..., Gate], unsolicited: str) -> None:
    gate = start(unsolicited)
    browser = Browser(gate, ALICE.email)
    for _ in range(5):
        _redirects, address, text = browser.visit("/page")
        assert (address, text) == ("/page", "reached")
        assert browser.visit("/sso/start?return_to=/page")[1] == "/page"  # signs in again on purpose


def test_who_signs_out_and_in_again_quickly_is_in_no_circle(start: Callable[..., Gate]) -> None:
    gate = start("restart")
    browser = Browser(gate, ALICE.email)
    for _ in range(5):
        assert browser.visit("/page")[2] == "reached"
        gate.core.sessions.end(account_id=gate.person(ALICE))
        browser.cookies.pop("sp_session")
        browser.cookies.pop("sp_landed")  # ten seconds have passed
    assert browser.visit("/page")[2] == "reached"


@pytest.mark.parametrize("unsolicited", ["restart", "accept"])
def test_many_people_behind_one_address_do_not_hinder_each_other(start: Callable[..., Gate], unsolicited: str) -> None:
    gate = start(unsolicited)
    browsers = [Browser(gate, f"person{number}@example.com", address="192.0.2.1") for number in range(30)]
    for browser in browsers:
        assert browser.visit("/page")[2] == "reached"
    in_a_circle = Browser(gate, CAROL.email, ("sp_session",), address="192.0.2.1")
    assert "cookies_blocked" in in_a_circle.visit("/page")[1]
    assert Browser(gate, ALICE.email, address="192.0.2.1").visit("/page")[2] == "reached"


def test_tokens_that_are_posted_without_a_browser_hinder_nobody(start: Callable[..., Gate]) -> None:
    gate = start("accept")
    for _ in range(20):
        answer = gate.ask("/sso/login/jwt", headers={"Accept": "text/html", "User-Agent": "load-test"},
                          query=f"jwt={ispring_token(KEY, ALICE.email)}")  # fmt: skip
        assert answer.status == 303
        assert "error" not in (answer.header("Location") or "")
    assert Browser(gate, ALICE.email).visit("/page")[2] == "reached"


def test_a_cookie_that_somebody_made_up_counts_for_nothing(start: Callable[..., Gate]) -> None:
    gate = start("restart")
    browser = Browser(gate, ALICE.email)
    browser.cookies["sp_landed"] = f"WyIveCJd.{int(time.time())}"
    assert browser.visit("/page")[2] == "reached"


# A refusal that leads to the error page of the provider's settings

SHUT: dict[str, Any] = {"auto_create": False, "error_url": "/oops"}
UNASKED = ["restart", "accept", "refuse"]


def refusal(address: str) -> str:
    """Return the code that our own error page shows."""
    parts = urlsplit(address)
    assert parts.path == "/access/jwt/error", address
    return parse_qs(parts.query)["code"][0]


@pytest.mark.parametrize("forgets", [(), ("sp_landed",)])
@pytest.mark.parametrize("unsolicited", UNASKED)
def test_an_error_page_that_needs_a_sign_in_ends_on_our_own_with_the_same_refusal(
    start: Callable[..., Gate], unsolicited: str, forgets: tuple[str, ...]
) -> None:
    redirects, address, text = Browser(start(unsolicited, SHUT), ALICE.email, forgets).visit("/page")
    assert refusal(address) == "user_unknown"
    assert parse_qs(urlsplit(address).query)["reference"][0] in text
    assert redirects <= 10


@pytest.mark.parametrize("unsolicited", UNASKED)
def test_an_error_page_that_needs_a_sign_in_does_not_send_a_browser_without_cookies_round(
    start: Callable[..., Gate], unsolicited: str
) -> None:
    redirects, address, _text = Browser(start(unsolicited, SHUT), ALICE.email, ("sp_",)).visit("/page")
    assert refusal(address) in ("user_unknown", "cookies_blocked", "unsolicited")
    assert redirects <= 10


def back_to_the_page(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """An application whose error page, which anybody may see, sends people where they came from."""
    start_response("302 Found", [("Location", "/page")])
    return [b""]


PUBLIC_ERROR_PAGE = [{"path": "/oops", "allow": "anyone"}]


@pytest.mark.parametrize("unsolicited", UNASKED)
@pytest.mark.parametrize("error_url", ["/oops", f"{BASE}/oops"])
def test_the_second_refusal_within_seconds_is_shown_on_our_own_page(
    start: Callable[..., Gate], unsolicited: str, error_url: str
) -> None:
    gate = start(unsolicited, {**SHUT, "error_url": error_url}, PUBLIC_ERROR_PAGE, back_to_the_page)
    redirects, address, _text = Browser(gate, ALICE.email).visit("/page")
    assert refusal(address) == "user_unknown"
    assert redirects <= 10


def test_an_error_page_on_another_site_that_sends_people_back_ends_on_our_own(start: Callable[..., Gate]) -> None:
    gate = start("restart", {**SHUT, "error_url": "https://elsewhere.example/oops"})
    browser = Browser(gate, ALICE.email)
    browser.elsewhere = {"https://elsewhere.example/oops": "/page"}
    redirects, address, _text = browser.visit("/page")
    assert refusal(address) == "user_unknown"
    assert redirects <= 10


def test_the_first_refusal_leads_to_the_error_page_of_the_settings_and_so_does_one_some_time_later(
    start: Callable[..., Gate],
) -> None:
    browser = Browser(start("restart", SHUT, PUBLIC_ERROR_PAGE), ALICE.email)
    for _ in range(3):
        _redirects, address, text = browser.visit("/page")
        assert (urlsplit(address).path, text) == ("/oops", "reached")
        assert parse_qs(urlsplit(address).query)["code"] == ["user_unknown"]
        browser.cookies.pop("sp_landed")  # ten seconds have passed


def test_a_browser_that_blocks_cookies_is_never_sent_to_an_error_page_of_ours(start: Callable[..., Gate]) -> None:
    gate = start("restart", {"error_url": "/oops"}, PUBLIC_ERROR_PAGE)
    for forgets in (("sp_",), ("sp_session",)):
        assert refusal(Browser(gate, ALICE.email, forgets).visit("/page")[1]) == "cookies_blocked"
    elsewhere = start("restart", {"error_url": "https://elsewhere.example/oops"})
    browser = Browser(elsewhere, CAROL.email, ("sp_",))
    address = browser.visit("/page", stop="https://elsewhere.example/")[1]
    assert address.startswith("https://elsewhere.example/oops?code=cookies_blocked&")


def test_a_refusal_does_not_drive_out_where_the_browser_has_landed() -> None:
    landings = Landings(["k" * 48], https=False)
    cookies: dict[str, str] = {}

    def note(path: str | None) -> None:
        response = Response()
        if path is None:
            landings.note_refusal(response, cookies)
        else:
            landings.note(response, cookies, path)
        cookies["sp_landed"] = response.headers["Set-Cookie"].partition(";")[0].partition("=")[2]

    for path in ("/page", None, None, None, "/page"):
        note(path)
    assert landings.rounds(cookies, "/page") == 2
    assert landings.was_refused(cookies)
    for path in ("/a", "/b", "/c"):
        note(path)
    assert landings.was_refused(cookies)
    assert landings.rounds(cookies, "/page") == 0


@pytest.mark.parametrize(("https", "words"), [(True, {"SameSite=None", "Secure"}), (False, {"SameSite=Lax"})])
def test_what_was_landed_on_is_known_to_a_token_that_another_site_posts(https: bool, words: set[str]) -> None:
    response = Response()
    Landings(["k" * 48], https=https).note(response, {}, "/page")
    assert words <= set(response.headers["Set-Cookie"].split("; "))
