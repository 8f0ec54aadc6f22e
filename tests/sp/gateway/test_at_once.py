"""Forward-auth from memory, for the event loop of our own server: never a query, and never another answer."""

from collections.abc import Callable
from typing import Any

import pytest

from lab.cast import ALICE, Person
from shared.threads import InThread
from sp.gateway import Gateway
from sp.metrics_counters import counters
from tests.sp.gateway.gate import HOST, Answer, Gate
from tests.support.asking_at_once import AskedTwice

TELLS = {
    "/sso/auth/nginx": {"X-Original-Method": "GET", "X-Original-URL": f"http://{HOST}/page?x=1"},
    "/sso/auth/forward": {
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": HOST,
        "X-Forwarded-Uri": "/page?x=1",
    },
}
PATHS = list(TELLS)


@pytest.fixture
def gate(make: Callable[..., Gate]) -> Gate:
    return make(way="at once", SP_TRUSTED_PROXIES="127.0.0.1", SP_SESSION_CACHE="60")


def ask(gate: Gate, path: str, change: dict[str, str] | None = None, **more: Any) -> Answer:
    return gate.ask(path, headers={**TELLS[path], **(change or {})}, **more)


def asked_at_once(gate: Gate) -> int:
    assert isinstance(gate.gateway, AskedTwice)
    return gate.gateway.at_once


@pytest.mark.parametrize("path", PATHS)
def test_a_session_in_the_cache_is_let_in_without_a_query(gate: Gate, path: str) -> None:
    secret = gate.sign_in(ALICE)
    ask(gate, path, secret=secret)
    queries, before = gate.queries, asked_at_once(gate)
    assert ask(gate, path, secret=secret).status == 200
    assert (gate.queries, asked_at_once(gate)) == (queries, before + 1)


@pytest.mark.parametrize("path", PATHS)
def test_without_a_session_the_sign_in_is_demanded_at_once(gate: Gate, path: str) -> None:
    assert ask(gate, path).status in (302, 401)
    assert asked_at_once(gate) == 1


@pytest.mark.parametrize("path", PATHS)
def test_a_session_that_is_not_in_the_cache_is_asked_for_in_a_thread(make: Callable[..., Gate], path: str) -> None:
    gate = make(way="at once", SP_TRUSTED_PROXIES="127.0.0.1", SP_SESSION_CACHE="0")
    assert ask(gate, path, secret=gate.sign_in(ALICE)).status == 200
    assert asked_at_once(gate) == 0


@pytest.mark.parametrize("path", [*PATHS, "/page", "/sso/login/jwt"])
@pytest.mark.parametrize("peer", ["192.0.2.7", "127.0.0.1"])
def test_attack_only_a_trusted_proxy_gets_anything_at_once(gate: Gate, path: str, peer: str) -> None:
    """A flood of a stranger's requests, or one that waits, must not keep the event loop."""
    environ = {"PATH_INFO": path, "REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": "127.0.0.1"}
    if peer == "192.0.2.7" or path not in PATHS:
        before = dict(environ)
        assert gate.gateway.answer_at_once(environ, None) is None
        assert environ == before


def decided() -> int:
    """Return how many decisions of forward-auth have been counted."""
    return sum(count for slot, count in counters.totals().items() if slot[0] == "decision")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("asked", "person", "status"), [("/page", ALICE, 200), ("/page", None, 401), ("/admin/x", ALICE, 403)]
)
def test_each_decision_is_counted_once(
    make: Callable[..., Gate], path: str, asked: str, person: Person | None, status: int
) -> None:
    gate = make(way="at once", SP_TRUSTED_PROXIES="127.0.0.1", SP_SESSION_CACHE="60")
    secret = gate.sign_in(person) if person else None
    page = {"Accept": "text/html"} if status == 403 else {"Accept": "*/*", "Sec-Fetch-Mode": "cors"}
    change = {"X-Original-URL": f"http://{HOST}{asked}"} if "nginx" in path else {"X-Forwarded-Uri": asked}
    change |= page
    ask(gate, path, change, secret=secret)
    before = decided()
    assert ask(gate, path, change, secret=secret).status == status
    assert decided() == before + 2  # in a thread, and at once


def test_a_key_that_must_be_asked_for_is_asked_for_in_a_thread(gate: Gate) -> None:
    secret = gate.sign_in(ALICE)
    ask(gate, PATHS[0], secret=secret)
    gate.core.assertions._asked_at = float("-inf")
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": PATHS[0],
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "HTTP_HOST": HOST,
        "HTTP_COOKIE": f"sp_session={secret}",
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in TELLS[PATHS[0]].items()},
    }
    queries = gate.queries
    with pytest.raises(InThread):
        Gateway.answer_at_once(gate.gateway, environ, None)  # type: ignore[arg-type]
    assert gate.queries == queries
