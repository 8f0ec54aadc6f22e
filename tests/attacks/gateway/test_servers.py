"""The attack table, raw over a socket, on every WSGI and ASGI server that installs, each with its own defaults."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab.cast import ALICE, CAROL
from lab.pair import table as toml_table
from tests.attacks.gateway import table
from tests.attacks.gateway.raw import Reply, send
from tests.attacks.gateway.servers import ASGI_SERVERS, PROTECTED, PROTECTED_ASGI, SERVERS, running
from tests.sp.gateway.gate import make_gate

PAGE = b"Accept: text/html"


@dataclass(frozen=True)
class Target:
    """A server with the gateway and the telling application, and the cookies of Alice and Carol."""

    name: str
    port: int
    alice: str
    carol: str

    def send(self, path: bytes, *lines: bytes, alice: bool = False, method: bytes = b"GET", host: bytes = b"") -> Reply:
        cookie = [b"Cookie: theme=dark; sp_session=" + self.alice.encode()] if alice else []
        return send(self.port, path, PAGE, *cookie, *lines, method=method, host=host)


@pytest.fixture(scope="module", params=SERVERS)
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp(request.param)
    config = folder / "config.toml"
    config.write_text("".join(toml_table("[rules]", rule) for rule in table.RULES))
    secret_key = "k" * 48
    env = {
        "SP_INSTANCE": str(folder),
        "SP_SECRET_KEY": secret_key,
        "SP_CONFIG": str(config),
        "SP_EXTERNAL_URL": "http://127.0.0.1:5000",
    }
    gate = make_gate(folder, table.RULES, SP_SECRET_KEY=secret_key)
    alice, carol = gate.sign_in(ALICE), gate.sign_in(CAROL)
    with running(request.param, PROTECTED_ASGI if request.param in ASGI_SERVERS else PROTECTED, folder, env) as port:
        yield Target(request.param, port, alice, carol)


def test_the_gate_stands_and_opens(target: Target) -> None:
    """The negative and positive controls: without them, the tests below prove nothing."""
    assert target.send(b"/page").status == 302
    assert target.send(b"/page", b"Cookie: sp_session=" + b"A" * 43).status == 302
    told = target.send(b"/page", alice=True).told
    assert told is not None
    assert (told["remote_user"], told["user"], told["auth_type"]) == (ALICE.email, ALICE.email, "jwt-sso")
    assert told["headers"]["HTTP_COOKIE"] == "theme=dark"
    assert target.send(b"/admin/x", alice=True).status == 403
    carol = target.send(b"/admin/x", b"Cookie: sp_session=" + target.carol.encode()).told
    assert carol is not None
    assert carol["remote_user"] == CAROL.email
    assert (target.send(b"/public/x").told or {})["remote_user"] is None


@pytest.mark.parametrize("alice", [False, True], ids=["nobody", "alice"])
@pytest.mark.parametrize("path", [b"/page", b"/public/page", b"/admin/page"])
def test_no_header_makes_anyone_somebody_else(target: Target, path: bytes, alice: bool) -> None:
    for name, lines in table.header_lines():
        for method in (b"GET", b"POST"):
            reply = target.send(path, *lines, alice=alice, method=method)
            table.check(reply, ALICE.email if alice else None, f"{name} {method!r}")


@pytest.mark.parametrize("alice", [False, True], ids=["nobody", "alice"])
def test_no_path_leads_past_a_rule(target: Target, alice: bool) -> None:
    for path in table.PATHS:
        for lines in table.PATH_HEADERS:
            reply = target.send(path, *lines, alice=alice)
            table.check(reply, ALICE.email if alice else None, f"{path!r} {lines!r}")


def test_no_cookie_but_the_true_one_opens(target: Target) -> None:
    for name, lines, counts in table.cookies(target.alice, target.carol, last_line_only=target.name == "cheroot"):
        for path in (b"/page", b"/public/page", b"/admin/page"):
            reply = target.send(path, *lines)
            table.check(reply, ALICE.email if counts else None, name)
            if counts and path == b"/page" and len(lines) == 1:  # browsers send one line (RFC 6265, 5.4)
                assert (reply.told or {}).get("remote_user") == ALICE.email, (name, reply)
            for secret in (target.alice, target.carol):
                kept = {key: value for key, value in (reply.told or {}).get("headers", {}).items() if "X_" not in key}
                if not name.startswith(("underscore", "quoted", "case", "space", "percent", "hash")):
                    assert secret not in repr(kept), (name, reply.told)


@pytest.mark.parametrize(
    "cookie",
    ["sp_session=x", "=sp_session=x", "%20sp_session=x", "__Host-sp_session=x;Secure;Path=/", "sp_pending_1=x"],
)
def test_no_page_of_the_application_sets_a_cookie_of_ours(target: Target, cookie: str) -> None:
    assert b"\r\nset-cookie: mine=1" in target.send(b"/public/x?set-cookie=mine=1").head.lower()
    reply = target.send(b"/public/x?set-cookie=" + cookie.encode())
    assert reply.told is not None
    assert b"set-cookie" not in reply.head.lower()


@pytest.mark.parametrize(
    "host", [b"evil.example", b"127.0.0.1:1@evil.example", b"127.0.0.1,evil.example", b"127.0.0.1 evil", b""]
)
def test_under_a_foreign_name_nobody_is_let_in(target: Target, host: bytes) -> None:
    reply = send(target.port, b"/page", PAGE, b"Cookie: sp_session=" + target.alice.encode(), host=host or b" ")
    assert reply.told is None
    assert reply.status != 500


def test_two_host_lines_that_differ_let_nobody_in(target: Target) -> None:
    reply = target.send(b"/page", b"Host: evil.example", alice=True)
    if reply.told is not None:
        assert reply.told["headers"]["HTTP_HOST"] in (f"127.0.0.1:{target.port}", "127.0.0.1")
    assert b"evil.example/" not in reply.head


@pytest.mark.parametrize(
    "lines",
    [
        [b"X-Forwarded-For: 10.0.0.1", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: evil.example"],
        [b"Forwarded: for=10.0.0.1;proto=https;host=evil.example"],
        [b"X_Forwarded_Host: evil.example", b"X_Forwarded_Proto: https"],
        [b"X-Forwarded-Ssl: on", b"X-Forwarded-Protocol: ssl"],
    ],
)
def test_a_stranger_changes_neither_links_nor_the_applications_picture_of_himself(
    target: Target, lines: list[bytes]
) -> None:
    reply = target.send(b"/page", *lines)
    assert b"ocation: http://127.0.0.1:5000/sso/start" in reply.head
    told = target.send(b"/page", *lines, alice=True).told
    assert told is not None
    assert told["peer"] == "127.0.0.1"
    assert "evil.example" not in repr(told)


def test_forward_auth_is_answered_to_nobody_who_is_not_trusted(target: Target) -> None:
    told = [b"X-Forwarded-Method: GET", b"X-Forwarded-Proto: http", b"X-Forwarded-Host: h", b"X-Forwarded-Uri: /page"]
    assert target.send(b"/sso/auth/forward", *told, alice=True).status == 400
    told = [b"X-Original-Method: GET", b"X-Original-URL: http://h/page"]
    assert target.send(b"/sso/auth/nginx", *told, alice=True).status == 403
