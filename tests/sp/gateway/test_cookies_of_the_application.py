"""The protected application can set its own cookies, but none of ours."""

import io
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from lab.cast import ALICE
from sp.sessions.cookies import ours_set_by
from tests.sp.gateway.gate import HOST, PAGE, Gate, call, make_gate

OURS = [
    "sp_session=x; Path=/",
    "__Host-sp_session=x; Path=/; Secure",
    "sp_pending_0a1b2c3d=x",
    "__Host-sp_pending_trial_0a1b2c3d=x; Secure; Path=/",
    "sp_pending_.-~=x",
    "sp_pending_a,b=x",  # one cookie, for a browser as for us
    "__Host-sp_pending_0a1b2c3d,b=x; Secure; Path=/",
    "SP_Pending_a,b=x",
    "sp_pending_a b=x",
    'sp_pending_a"b=x',
    "sp_pending_ x=x",
    "=sp_pending_a,b=x",
    "a=b; sp_pending_a,b=x",
    "a=b,sp_pending_a,b=x",
    "sp_form=x",
    "__Host-sp_form=x",
    "sp_device=x",
    "sp_landed=x",
    "sp_provider=x",
    "sp_pending_site_0a1b2c3d=x; Domain=example.org",
    "__Host-sp_pending_site_0a1b2c3d=x",
    "sp_session_wiki=x; Domain=example.org",
    "sp_session=; Max-Age=0",
    "sp_session",
    "sp_session;Path=/",
    " sp_session=x",
    "\tsp_session\t = x",
    "=sp_session=x",  # a cookie without a name, which browsers send back as "sp_session=x"
    " = sp_session=x; Path=/",
    "=__Host-sp_session=x",
    "SP_SESSION=x",
    "__HOST-Sp_Session=x",
    '"sp_session"=x',
    "a=b, sp_session=x",
    "a=b,sp_session=x",
    'a="b; sp_session=x; c"',
    "a=b\r\nSet-Cookie: sp_session=x",
    "a=b\nsp_session=x",
]
THEIRS = [
    "session=x; Path=/",
    "sp_sessions=x",
    "xsp_session=x",
    "xsp_pending_0a1b2c3d=x",
    "a=sp_pending_0a1b2c3d",
    "sp_pendin_=x",
    "x-sp_session=x",
    "sp_sessio=x",
    "sp_formula=1",
    "sp_=x",
    "next=/page?sp_session=1",
    "name=sp_session",
    "a=sp_session=x",
    "idp_session=x",
    "theme=dark; Expires=Wed, 09 Jun 2027 10:18:14 GMT; Path=/; SameSite=Lax",
    "",
]


def setting(*cookies: str, name: str = "Set-Cookie") -> Any:
    """Return an application that sets *cookies*."""

    def app(_environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("X-First", "1"), *((name, cookie) for cookie in cookies), ("X-Last", "2")])
        return [b"reached"]

    return app


def cookies_set(gate: Gate, secret: str | None = None) -> list[str]:
    answer = gate.ask("/public/page", headers=PAGE, secret=secret)
    assert answer.body == b"reached"
    assert (answer.header("X-First"), answer.header("X-Last")) == ("1", "2")
    return [value for name, value in answer.headers if name.strip().lower() == "set-cookie"]


@pytest.fixture
def gate(tmp_path: Path, way: str) -> Gate:
    return make_gate(tmp_path, [{"path": "/public/", "allow": "anyone"}], way=way)


@pytest.mark.parametrize("cookie", OURS)
@pytest.mark.parametrize("signed_in", [False, True])
def test_attack_the_application_sets_a_cookie_of_ours(
    gate: Gate, cookie: str, signed_in: bool, caplog: pytest.LogCaptureFixture
) -> None:
    gate.gateway.app = setting("a=1", cookie, "b=2")
    with caplog.at_level(logging.WARNING, "lychgate"):
        assert cookies_set(gate, gate.sign_in(ALICE) if signed_in else None) == ["a=1", "b=2"]
    assert "the application set the gateway's own cookie" in caplog.text
    assert "=x" not in caplog.text


@pytest.mark.parametrize("cookie", THEIRS)
def test_the_applications_own_cookies_pass(gate: Gate, cookie: str) -> None:
    gate.gateway.app = setting(cookie, "b=2")
    assert cookies_set(gate) == [cookie, "b=2"]


@pytest.mark.parametrize("name", ["set-cookie", "SET-COOKIE", "Set-Cookie ", "\tsEt-cOOkie"])
def test_attack_the_header_is_spelled_in_another_way(gate: Gate, name: str) -> None:
    gate.gateway.app = setting("sp_session=x", "sp_form=x", "mine=1", name=name)
    assert cookies_set(gate) == ["mine=1"]


def test_attack_a_late_error_page_sets_one(gate: Gate) -> None:
    def app(_environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("X-First", "1"), ("X-Last", "2")])
        error = (ValueError, ValueError("late"), None)
        start_response("500 Oh", [("X-First", "1"), ("Set-Cookie", "sp_session=x"), ("X-Last", "2")], error)
        return [b"reached"]

    gate.gateway.app = app
    assert cookies_set(gate) == []


def test_attack_an_application_that_may_answer_401_sets_one(tmp_path: Path, way: str) -> None:
    gate = make_gate(
        tmp_path,
        [{"path": "/", "allow": "anyone", "everything": True}],
        app=setting("sp_session=x", "mine=1"),
        way=way,
        SP_SIGN_IN_ON_401="yes",
    )
    assert cookies_set(gate) == ["mine=1"]


def test_the_headers_stay_as_they_are_where_no_cookie_is_ours(gate: Gate) -> None:
    sent = [("Set-Cookie", "mine=1"), ("Content-Type", "text/plain")]
    seen: list[Any] = []

    def app(_environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", sent)
        return []

    gate.gateway.app = app
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/public/x", "HTTP_HOST": HOST, "REMOTE_ADDR": "127.0.0.1"}
    gate.gateway({**environ, "wsgi.input": io.BytesIO()}, lambda _status, headers: seen.append(headers))
    assert seen[0][:-1] == sent
    assert seen[0][-1][0].lower() == "x-request-id"
    assert len(sent) == 2  # the application may send the same list again


def test_our_own_pages_set_them(gate: Gate) -> None:
    environ = {"SCRIPT_NAME": "", "QUERY_STRING": "no_sso", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "5000",
               "REQUEST_METHOD": "GET", "PATH_INFO": "/login", "HTTP_HOST": HOST, "REMOTE_ADDR": "127.0.0.1",
               "HTTP_ACCEPT": "text/html", "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(),
               "wsgi.errors": io.StringIO(), "SERVER_PROTOCOL": "HTTP/1.1"}  # fmt: skip
    (_status, headers), _body = call(gate.gateway, environ)
    assert any(name.lower() == "set-cookie" and value.startswith("sp_form=") for name, value in headers)


def test_a_header_of_any_shape_is_read_once() -> None:
    """A pattern that goes back over what it has read would take minutes here."""
    for piece in ('sp_pending_"', "sp_pending_", ' "', ",sp_session ", "sp_session\t", "=", '"sp_form" '):
        ours_set_by("a=" + piece * (100_000 // len(piece)) + "!")
