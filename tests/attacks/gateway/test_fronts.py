"""The attack table from outside, through real nginx and real Caddy with the example files.

Behind them is an application that trusts Remote-User, on a server that reads Remote_User as the same header.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab.cast import ALICE, CAROL
from lab.pair import table as toml_table
from lab.ports import free_port
from sp.request.identity_headers import HEADER_SETS
from tests.attacks.gateway import table
from tests.attacks.gateway.raw import Reply, send
from tests.attacks.gateway.servers import BARE, running
from tests.examples import servers as fronts
from tests.sp.gateway.gate import make_gate

PAGE = b"Accept: text/html"
UNNAMED = {"HTTP_REMOTE__USER"}  # nginx removes listed names only, and no server reads two dashes as one
BELIEVED = {name.upper().replace("-", "_") for names in HEADER_SETS.values() for name in names}


@dataclass(frozen=True)
class Front:
    """A proxy, and the cookies of Alice and Carol."""

    name: str
    port: int
    alice: str
    carol: str

    def send(self, path: bytes, *lines: bytes, alice: bool = False, method: bytes = b"GET", host: bytes = b"") -> Reply:
        cookie = [b"Cookie: theme=dark; sp_session=" + self.alice.encode()] if alice else []
        return send(self.port, path, PAGE, *cookie, *lines, method=method, host=host)


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    binary = fronts.find(request.param)
    if binary is None:
        pytest.skip(f"no {request.param} on this machine; tools/system-packages installs it")
    folder, port = tmp_path_factory.mktemp(request.param), free_port()
    config = folder / "config.toml"
    config.write_text("".join(toml_table("[rules]", rule) for rule in table.RULES))
    secret_key = "k" * 48
    env = {
        "SP_INSTANCE": str(folder),
        "SP_SECRET_KEY": secret_key,
        "SP_CONFIG": str(config),
        "SP_EXTERNAL_URL": f"http://127.0.0.1:{port}",
        "SP_TRUSTED_PROXIES": "127.0.0.1",
    }
    gate = make_gate(folder, table.RULES, SP_SECRET_KEY=secret_key)
    alice, carol = gate.sign_in(ALICE), gate.sign_in(CAROL)
    start = {"nginx": fronts.nginx, "caddy": fronts.caddy}[request.param]
    (folder / "front").mkdir()
    with (
        running("ours", BARE, folder / "gateway", env) as gateway,
        running("cheroot", BARE, folder / "application", {}) as application,
        start(binary, port, gateway, application, folder / "front"),
    ):
        yield Front(request.param, port, alice, carol)


def believed(reply: Reply) -> set[str]:
    """Return what an application behind the proxy may take for identity, in every spelling of our header sets."""
    told = reply.told
    if told is None:
        return set()
    return {
        value
        for key, value in told["headers"].items()
        if re.sub(r"[^A-Z0-9]", "_", key.removeprefix("HTTP_")) in BELIEVED and value
    }


def check(reply: Reply, who: str | None, spoken: str) -> None:
    """Assert that the application, if it was reached, saw *who* or no identity, and that the rules allowed it."""
    assert reply.status != 500, (spoken, reply)
    if reply.told is None:
        return
    true = {ALICE.email: {ALICE.email, ALICE.name, "staff"}, None: set[str]()}[who]
    assert believed(reply) <= true, (spoken, reply.told)
    claims = {k: v for k, v in reply.told["headers"].items() if table.is_claim(k) and k not in UNNAMED}
    assert CAROL.email not in repr(claims), (spoken, reply.told)
    for path in table.as_applications_read(reply.told["path"]) | table.as_raw_routers_read(reply.told["raw"]):
        assert table.may_see(path, who), (spoken, path, reply.told)


def test_the_gate_stands_and_opens(front: Front) -> None:
    """The negative and positive controls: without them, the tests below prove nothing."""
    assert front.send(b"/page").status == 302
    assert front.send(b"/page", b"Cookie: sp_session=" + b"A" * 43).status == 302
    assert believed(front.send(b"/page", alice=True)) == {ALICE.email, ALICE.name, "staff"}
    assert front.send(b"/admin/x", alice=True).status == 403
    assert CAROL.email in believed(front.send(b"/admin/x", b"Cookie: sp_session=" + front.carol.encode()))
    assert front.send(b"/public/x").told is not None


def test_the_application_gets_every_cookie_but_the_session(front: Front) -> None:
    session = b"sp_session=" + front.alice.encode()
    for sent, left in (
        (b"a=1; " + session + b"; b=2", "a=1; b=2"),
        (session + b"; b=2", "b=2"),
        (b"b=2; " + session, "b=2"),
        (session, ""),
        (b"a=1; b=2", "a=1; b=2"),
    ):
        for path in (b"/page", b"/public/page"):
            reply = front.send(path, b"Cookie: " + sent)
            if reply.told is None:
                assert (path, reply.status) == (b"/page", 302), (sent, reply)
                continue
            found = reply.told["headers"].get("HTTP_COOKIE", "")
            assert found.rstrip("; ") == left, sent
    assert front.send(b"/page", b"Cookie: a=1; " + session).told is not None


@pytest.mark.parametrize("alice", [False, True], ids=["nobody", "alice"])
@pytest.mark.parametrize("path", [b"/page", b"/public/page", b"/admin/page"])
def test_no_header_makes_anyone_somebody_else(front: Front, path: bytes, alice: bool) -> None:
    for name, lines in table.header_lines():
        for method in (b"GET", b"POST"):
            reply = front.send(path, *lines, alice=alice, method=method)
            check(reply, ALICE.email if alice else None, f"{name} {method!r}")


@pytest.mark.parametrize("alice", [False, True], ids=["nobody", "alice"])
def test_no_path_leads_past_a_rule(front: Front, alice: bool) -> None:
    claims = [
        *table.PATH_HEADERS,
        [b"X-Original-URL: http://127.0.0.1/public/x", b"X-Original-Method: GET"],
        [b"X_Original_URL: http://127.0.0.1/public/x", b"X_Original_Method: GET"],
        [b"X_Forwarded_Uri: /public/x", b"X_Forwarded_Method: GET"],
        [b"x.forwarded.uri: /public/x", b"X-Forwarded-Uri: /public/x", b"X-Forwarded-Host: 127.0.0.1"],
        [b"X-Forwarded-Method: OPTIONS", b"X-Forwarded-Proto: https,http"],
    ]
    for path in table.PATHS:
        for lines in claims:
            reply = front.send(path, *lines, alice=alice)
            check(reply, ALICE.email if alice else None, f"{path!r} {lines!r}")


@pytest.mark.parametrize(
    "host",
    [
        b"127.0.0.1?",
        b"127.0.0.1/public/x?",
        b"127.0.0.1/public/x#",
        b"127.0.0.1#",
        b"127.0.0.1;/public/x",
        b"127.0.0.1\\public\\",
        b"127.0.0.1:80/public/?",
        b"127.0.0.1,127.0.0.1/public/",
        b"u@127.0.0.1/public/",
        b"127.0.0.1%2fpublic%2f",
        b"127.0.0.1 /public/x?",
        b"[::1]/public/?",
    ],
)
def test_a_host_that_reaches_into_the_path_leads_past_no_rule(front: Front, host: bytes) -> None:
    for alice in (False, True):
        for path in (b"/admin/x", b"/page"):
            reply = front.send(path, alice=alice, host=host)
            check(reply, ALICE.email if alice else None, f"{host!r} {path!r}")


def test_no_cookie_but_the_true_one_opens(front: Front) -> None:
    for name, lines, counts in table.cookies(front.alice, front.carol):
        for path in (b"/page", b"/public/page", b"/admin/page"):
            reply = front.send(path, *lines)
            check(reply, ALICE.email if counts else None, name)
            if counts and path == b"/page" and len(lines) == 1:  # browsers send one line (RFC 6265, 5.4)
                assert ALICE.email in believed(reply), name


def test_a_method_that_no_rule_meant_leads_past_none(front: Front) -> None:
    for method in (b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE", b"PROPFIND", b"get", b"GET,POST", b"CONNECT"):
        check(front.send(b"/admin/x", alice=True, method=method), ALICE.email, repr(method))
        check(front.send(b"/page", method=method), None, repr(method))


@pytest.mark.parametrize("path", [b"/sso/auth/nginx", b"/sso/auth/forward", b"/SSO/auth/forward", b"/sso//auth/nginx",
                                  b"/sso/./auth/forward", b"/sso/auth%2fforward", b"/sso/x/../auth/nginx"])  # fmt: skip
def test_nobody_outside_asks_in_the_proxys_name(front: Front, path: bytes) -> None:
    told = [
        b"X-Original-Method: GET",
        b"X-Original-URL: http://127.0.0.1/page",
        b"X-Forwarded-Method: GET",
        b"X-Forwarded-Uri: /page",
    ]
    reply = front.send(path, *told, alice=True)
    assert b"Lychgate-Assertion" not in reply.head
    assert ALICE.email.encode() not in reply.head


@pytest.mark.parametrize("cookie", [b"__Host-sp_session", b"__Host-sp_form", b"__Host-sp_pending_1"])
def test_no_page_of_the_application_sets_a_cookie_of_ours_over_https(front: Front, cookie: bytes) -> None:
    """A browser takes a __Host- cookie with Secure only; nginx can take that away, Caddy the whole cookie."""
    assert b"\r\nset-cookie: mine=1; secure" in front.send(b"/public/x?set-cookie=mine=1;%20Secure").head.lower()
    reply = front.send(b"/public/x?set-cookie=" + cookie + b"=x;%20Path=/;%20Secure")
    assert reply.told is not None
    left = [line for line in reply.head.lower().split(b"\r\n") if cookie.lower() in line]
    assert not any(b"secure" in line for line in left), reply
    assert front.name == "nginx" or not left


def test_the_gateway_says_where_the_sign_in_is_and_no_header_does(front: Front) -> None:
    for lines in ([b"X-Forwarded-Host: evil.example"], [b"Host: evil.example"], [b"Forwarded: host=evil.example"]):
        reply = front.send(b"/page", *lines)
        assert b"evil.example/" not in reply.head, (lines, reply)
