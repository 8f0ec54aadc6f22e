"""The attack table at each of three sites, from outside, through the real proxies with the recipes for several sites.

Behind nginx and Caddy are applications that trust Remote-User, on a server that reads Remote_User as the same header.
Behind HAProxy and Apache the applications are in the gateway's process.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest
from cheroot.wsgi import Server

from lab.cast import ALICE, CAROL, Person
from lab.pair import table as toml_table
from sp.request.identity_headers import HEADER_SETS
from tests.attacks.gateway import table, victim
from tests.attacks.gateway.raw import Reply, send
from tests.attacks.gateway.servers import PROTECTED, running
from tests.attacks.gateway.site_fronts import FILES, FORWARD_AUTH, HOSTS, IN_PROCESS, Behind, front
from tests.sp.gateway.gate import make_gate

PAGE = b"Accept: text/html"
UNNAMED = {"HTTP_REMOTE__USER"}  # nginx removes listed names only, and no server reads two dashes as one
BELIEVED = {name.upper().replace("-", "_") for names in HEADER_SETS.values() for name in names}
OPEN_AT = {site: {"path": f"/only-{site}/", "allow": "anyone"} for site in HOSTS}
SITES = "".join(
    toml_table(f"sites.{site}", {"url": f"http://{HOSTS[site].decode()}", "app": f"{victim.__name__}:{site}"})
    + "".join(toml_table(f"[sites.{site}.rules]", rule) for rule in (OPEN_AT[site], *table.RULES))
    for site in ("wiki", "shop")
)
UNLISTED = [  # {} is the host of a site
    *("{}.evil.example", "evil{}", "x.{}", "{}:81", "{}:", "{}.", "{}@evil.example", "evil.example@{}"),
    *("{}/only-wiki/x?", "{},evil.example", "{};x", "{}%00", "{}\\only-wiki\\", "evil.example", "127.0.0.1"),
    *("localhost", "[::1]", "", "*", "\u0175iki.example.org"),
]
QUESTIONS = [
    *(b"/sso/auth/nginx", b"/sso/auth/forward", b"/SSO/auth/forward", b"/sso//auth/nginx", b"/sso/x/../auth/nginx"),
    *(b"/sso/auth%2fforward", b"/sso%2Fauth/forward", b"/sso/%61uth/nginx", b"/sso%252fauth/forward"),
]


@dataclass(frozen=True)
class Fronted:
    """A proxy, and the sessions of Alice and Carol by site."""

    name: str
    port: int
    alice: dict[str, str]
    carol: dict[str, str]

    def send(self, site: str, path: bytes, *lines: bytes, session: str = "", host: bytes = b"") -> Reply:
        cookie = [b"Cookie: theme=dark; sp_session=" + session.encode()] if session else []
        return send(self.port, path, PAGE, *cookie, *lines, host=host or HOSTS[site])


@dataclass(frozen=True)
class Gateway:
    """The gateway and the applications, once for all proxies."""

    behind: Behind
    alice: dict[str, str]
    carol: dict[str, str]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    home_rules = [OPEN_AT["home"], *table.RULES]
    env = {
        "SP_INSTANCE": str(folder),
        "SP_SECRET_KEY": "k" * 48,
        "SP_CONFIG": str(folder / "rules.toml"),
        "SP_EXTERNAL_URL": f"http://{HOSTS['home'].decode()}",
        "SP_TRUSTED_PROXIES": "127.0.0.1",
        "SP_APP": f"{victim.__name__}:home",
    }
    gate = make_gate(folder, home_rules, more=SITES, SP_SECRET_KEY=env["SP_SECRET_KEY"])

    def at_each_site(person: Person) -> dict[str, str]:
        return {site: gate.sign_in(person, site=site) for site in HOSTS}

    alice, carol = at_each_site(ALICE), at_each_site(CAROL)
    with ExitStack() as stack:
        applications = {site: stack.enter_context(application(site)) for site in HOSTS}
        port = stack.enter_context(running("ours", PROTECTED, folder / "process", env))
        yield Gateway(Behind(port, applications), alice, carol)


@contextmanager
def application(site: str) -> Iterator[int]:
    """Serve an application that does not know the gateway; yield its port."""
    server = Server(("127.0.0.1", 0), victim.of(site))
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server.bind_addr[1]
    finally:
        server.stop()
        thread.join()


@pytest.fixture(scope="module", params=FILES)
def fronted(
    request: pytest.FixtureRequest, gateway: Gateway, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fronted]:
    with front(request.param, gateway.behind, tmp_path_factory.mktemp(request.param)) as port:
        yield Fronted(request.param, port, gateway.alice, gateway.carol)


@pytest.fixture(params=HOSTS)
def site(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def believed(reply: Reply) -> set[str]:
    """Return what an application may take for identity: the environ's, and headers in every spelling of our sets."""
    told = reply.told
    if told is None:
        return set()
    headers = {
        value
        for key, value in told["headers"].items()
        if re.sub(r"[^A-Z0-9]", "_", key.removeprefix("HTTP_")) in BELIEVED and value
    }
    return headers | {value for value in (told["remote_user"], told["user"]) if value}


def check(reply: Reply, site: str, who: str | None, spoken: str) -> None:
    """Assert that an application, if it was reached, saw *who* or no identity, and that its site's rules allowed it.

    *who* has a session at *site* only. At any other site, the request is a stranger's.
    """
    assert reply.status != 500, (spoken, reply)
    told = reply.told
    if told is None:
        assert table.NOBODY not in reply.head, (spoken, reply)
        return
    reached = told["application"]
    who = who if reached == site else None
    true = {ALICE.email: {ALICE.email, ALICE.name, "staff"}, None: set[str]()}[who]
    assert believed(reply) <= true, (spoken, told)
    claims = {k: v for k, v in told["headers"].items() if table.is_claim(k) and k not in UNNAMED}
    assert CAROL.email not in repr(claims), (spoken, told)
    for path in table.as_applications_read(told["path"]) | table.as_raw_routers_read(told["raw"]):
        assert path.startswith(f"/only-{reached}/") or table.may_see(path, who), (spoken, path, told)


def test_each_site_stands_and_opens(fronted: Fronted, site: str) -> None:
    """The negative and positive controls: without them, the tests below prove nothing."""
    host = HOSTS[site]
    stranger = fronted.send(site, b"/page")
    assert stranger.status == 302
    assert b"location: http://" + host + b"/sso/start?return_to=%2fpage" in stranger.head.lower().split(b"\r\n")
    for path, session, who in (
        (b"/page", fronted.alice[site], ALICE.email),
        (b"/admin/x", fronted.carol[site], CAROL.email),
        (b"/public/x", "", None),
        (f"/only-{site}/x".encode(), "", None),
    ):
        reply = fronted.send(site, path, session=session)
        assert reply.told, (path, reply)
        assert reply.told["application"] == site
        assert reply.told["headers"]["HTTP_HOST"] == host.decode()
        assert (who in believed(reply)) if who else not believed(reply)
    assert fronted.send(site, b"/admin/x", session=fronted.alice[site]).status == 403


def test_the_gateways_own_paths_answer_at_each_site(fronted: Fronted, site: str) -> None:
    for path in (
        b"/sso/start?return_to=/page",
        b"/sso/land?ticket=x",
        b"/logout",
        b"/account",
        b"/settings",
        b"/login",
    ):
        assert fronted.send(site, path, session=fronted.alice[site]).told is None, path
    assert b'"keys"' in fronted.send(site, b"/.well-known/jwks.json").body


def test_attack_a_session_of_one_site_is_used_at_another(fronted: Fronted, site: str) -> None:
    for other in HOSTS:
        for session in (fronted.alice[other], fronted.carol[other]) if other != site else ():
            assert fronted.send(site, b"/page", session=session).status == 302
            reply = fronted.send(site, b"/public/page", session=session)
            check(reply, site, None, f"the session of {other} at {site}")


@pytest.mark.parametrize("alice", [False, True], ids=["nobody", "alice"])
def test_attack_a_header_makes_somebody_else(fronted: Fronted, site: str, alice: bool) -> None:
    session = fronted.alice[site] if alice else ""
    for name, lines in table.header_lines():
        for path in (b"/page", b"/public/page"):
            reply = fronted.send(site, path, *lines, session=session)
            check(reply, site, ALICE.email if alice else None, f"{name} {path!r}")


@pytest.mark.parametrize("alice", [False, True], ids=["nobody", "alice"])
def test_attack_a_path_leads_past_a_rule(fronted: Fronted, site: str, alice: bool) -> None:
    session = fronted.alice[site] if alice else ""
    all_at_once = [line for lines in table.PATH_HEADERS for line in lines]
    for path in table.PATHS:
        for lines in ([], all_at_once):
            reply = fronted.send(site, path, *lines, session=session)
            check(reply, site, ALICE.email if alice else None, f"{path!r} {lines!r}")


def test_attack_the_request_line_names_one_site_and_the_host_header_another(fronted: Fronted, site: str) -> None:
    """A proxy that asks about one site and passes the request to another would use the wrong rules and cookies."""
    for other in HOSTS:
        for path in (b"/page", b"/admin/x", f"/only-{site}/x".encode(), f"/only-{other}/x".encode()):
            for target in (b"http://" + HOSTS[other] + path, b"HTTP://u@" + HOSTS[other] + b":80" + path):
                for session in ("", fronted.alice[site]):
                    reply = fronted.send(site, target, session=session)
                    check(reply, site, ALICE.email if session else None, f"{target!r}")


def test_attack_a_header_names_another_site(fronted: Fronted, site: str) -> None:
    for other in HOSTS:
        host, url = HOSTS[other], b"http://" + HOSTS[other] + f"/only-{other}/x".encode()
        for lines in (
            [b"X-Forwarded-Host: " + host],
            [b"X_Forwarded_Host: " + host],
            [b"Forwarded: host=" + host],
            [b"X-Original-URL: " + url, b"X-Original-Method: GET"],
            [b"X-Forwarded-Host: " + host, b"X-Forwarded-Uri: " + f"/only-{other}/x".encode()],
            [b"X-Host: " + host, b"X-Original-Host: " + host, b"X-Forwarded-Server: " + host],
        ):
            for path in (b"/page", f"/only-{other}/x".encode()):
                for session in ("", fronted.alice[site]):
                    reply = fronted.send(site, path, *lines, session=session)
                    check(reply, site, ALICE.email if session else None, f"{lines!r}")
                    assert reply.told is None or reply.told["application"] == site, (lines, reply.told)
                    if other != site:
                        assert b"//" + host + b"/sso/start" not in reply.head, lines


@pytest.mark.parametrize("pattern", UNLISTED)
def test_attack_a_host_that_is_not_listed(fronted: Fronted, pattern: str) -> None:
    for site, listed in HOSTS.items():
        host = pattern.format(listed.decode()).encode()
        for path in (b"/public/x", f"/only-{site}/x".encode()):
            for lines in ([], [b"Host: " + listed], [b"X-Forwarded-Host: " + listed]):
                reply = fronted.send(site, path, *lines, session=fronted.alice[site], host=host or b" ")
                # The root's dot and an empty port name the same host, and home may be reached through another port.
                is_listed = host.strip(b".:") == listed or (site, pattern) == ("home", "{}:81")
                assert is_listed or reply.told is None, (host, lines, reply)
                check(reply, site, ALICE.email, f"{host!r} {lines!r}")
                assert b"evil.example/" not in reply.head, (host, lines, reply)


def test_attack_two_hosts_in_one_request(fronted: Fronted, site: str) -> None:
    for other in HOSTS:
        for path in (b"/page", f"/only-{other}/x".encode()):
            reply = fronted.send(site, path, b"Host: " + HOSTS[other], session=fronted.alice[site])
            assert reply.told is None or other == site, (other, reply)  # HAProxy makes one of two that are the same
            check(reply, site, ALICE.email, f"{other} and {site}")


def test_attack_no_cookie_but_the_true_one_opens(fronted: Fronted, site: str) -> None:
    for name, lines, counts in table.cookies(fronted.alice[site], fronted.carol[site]):
        for path in (b"/page", b"/public/page", b"/admin/page"):
            reply = fronted.send(site, path, *lines)
            check(reply, site, ALICE.email if counts else None, name)
            if counts and path == b"/page" and len(lines) == 1:  # browsers send one line (RFC 6265, 5.4)
                assert ALICE.email in believed(reply), name


def test_attack_an_application_reads_or_sets_the_session_cookie_of_a_site_on_another_port(
    fronted: Fronted, site: str
) -> None:
    """Ports share cookies. There, a site's session cookie is called sp_session_NAME."""
    mine = b"sp_session=" + fronted.alice[site].encode()
    for sent in (
        b"a=1; sp_session_wiki=x; " + mine + b"; sp_session_my-shop_2=y; b=2",
        b"a=1; b=2; sp_session_my-shop_2=y; " + mine,
        mine + b"; a=1; __Host-sp_session_wiki=x; b=2",
    ):
        reply = fronted.send(site, b"/page", b"Cookie: " + sent)
        assert reply.told is not None, reply
        assert reply.told["headers"]["HTTP_COOKIE"].rstrip("; ") == "a=1; b=2"
    for name in (b"sp_session_wiki", b"__Host-sp_session_my-shop_2"):
        reply = fronted.send(site, b"/public/x?set-cookie=" + name + b"=x;%20Path=/;%20Secure")
        left = [line for line in reply.head.lower().split(b"\r\n") if name.lower() + b"=" in line]
        assert not any(b"secure" in line for line in left if name.startswith(b"__Host-")), reply
        assert fronted.name == "nginx" or not left, reply


@pytest.mark.parametrize("question", QUESTIONS)
def test_attack_a_client_asks_in_the_proxys_name(fronted: Fronted, site: str, question: bytes) -> None:
    url = b"http://" + HOSTS[site] + b"/page"
    told = [b"X-Original-Method: GET", b"X-Original-URL: " + url, b"X-Forwarded-Method: GET", b"X-Forwarded-Uri: /page"]
    reply = fronted.send(site, question, *told, session=fronted.alice[site])
    assert b"Lychgate-Assertion" not in reply.head
    assert ALICE.email.encode() not in reply.head


def test_every_recipe_is_attacked() -> None:
    assert set(FORWARD_AUTH) | set(IN_PROCESS) == {"nginx", "caddy", "haproxy", "apache"}
