"""Redirect loops: a browser that is signed in again and again ends on a page that names the cause, and nobody else."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.gateway.gate import HOST, Gate
from tests.support.cast import ALICE, CAROL
from tests.support.minting import ispring_token

KEY = "k" * 48
BASE = f"http://{HOST}"
PAGE = {"Accept": "text/html", "User-Agent": "Browser/1.0"}


@pytest.fixture
def start(make: Callable[..., Gate]) -> Callable[..., Gate]:
    """Return the function that makes a gate whose provider has these settings."""

    def started(unsolicited: str, **settings: str) -> Gate:
        gate = make((), **settings)
        provider = {
            "default": True,
            "keys": [KEY],
            "login_url": "http://127.0.0.1:9/login",
            "unsolicited": unsolicited,
        }
        gate.core.providers.apply({"corporate": provider}, actor="test")
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

    def visit(self, path: str, most: int = 20) -> tuple[int, str, str]:
        """Open *path*; return the number of redirects, the address of the last page and its text."""
        address = path
        for redirects in range(most):
            if address.startswith("http://127.0.0.1:9/login"):
                address = f"/sso/login/jwt?jwt={ispring_token(KEY, self.email)}"
                redirects += 0
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
    monkeypatch.setattr(gate.core.sessions, "find_by_hash", lambda *_arguments: None)
    text = ends_on_the_page(gate, ())
    assert "the clocks of the servers may differ" in text


def test_a_site_set_up_for_https_and_reached_over_http_is_named(start: Callable[..., Gate]) -> None:
    gate = start("restart", SP_EXTERNAL_URL="https://gate.example")
    browser = Browser(gate, ALICE.email, ("__Host-sp_",), base="http://gate.example")
    browser.base = "http://gate.example"
    address, text = "", ""
    for _ in range(4):  # each visit of the browser starts over http again, whatever the answer says
        _redirects, address, text = over_http(browser)
        if "code=cookies_blocked" in address:
            break
    assert "code=cookies_blocked" in address
    assert "the request came over http" in text


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
        assert browser.visit("/sso/start?return_to=/page")[1] == "/page"  # signs in anew, by his own will


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
