"""Several sites behind one gateway: each request is decided by the site of its host, on every way in."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.cast import ALICE, CAROL
from tests.sp.gateway.gate import PAGE, SCRIPT, Answer, Gate, make_gate

WIKI, SHOP, LATER = "wiki.example.org", "shop.example.com:8080", "later.example.org"
SITES = f"""
[sites.wiki]
url = "http://{WIKI}"
app = "wiki:app"
identity_headers = "x-forwarded"
[[sites.wiki.rules]]
path = "/admin/"
allow = {{ groups = ["wiki-admins"] }}
[[sites.wiki.rules]]
path = "/open/"
allow = "anyone"
[sites.shop]
url = "http://{SHOP}"
app = "shop:app"
[sites.later]
url = "http://{LATER}"
"""
HOME_RULES = [{"path": "/open/", "allow": {"groups": ["nobody-has-it"]}}]


@pytest.fixture
def gate(tmp_path: Path, way: str) -> Gate:
    """Home and three sites; the proxies of this machine are trusted."""
    return make_gate(tmp_path, HOME_RULES, more=SITES, way=way, SP_TRUSTED_PROXIES="127.0.0.1")


def at(gate: Gate, host: str, path: str = "/", *, secret: str | None = None, page: bool = True) -> Answer:
    """Ask the gateway itself."""
    return gate.ask(path, headers={**(PAGE if page else SCRIPT), "Host": host}, secret=secret)


def forward(gate: Gate, host: str, path: str = "/", *, secret: str | None = None) -> Answer:
    """Ask as Caddy does."""
    told = {"X-Forwarded-Proto": "http", "X-Forwarded-Method": "GET", "X-Forwarded-Host": host, "X-Forwarded-Uri": path}
    return gate.ask("/sso/auth/forward", headers={**PAGE, **told, "Host": "gateway.internal"}, secret=secret)


def nginx(gate: Gate, host: str, path: str = "/", *, secret: str | None = None) -> Answer:
    """Ask as nginx does."""
    told = {"X-Original-Method": "GET", "X-Original-URL": f"http://{host}{path}"}
    return gate.ask("/sso/auth/nginx", headers={**PAGE, **told, "Host": "gateway.internal"}, secret=secret)


Ask = Callable[..., Answer]
WAYS = [at, forward, nginx]
each_way = pytest.mark.parametrize("ask", WAYS)


@each_way
def test_each_site_has_rules_of_its_own(gate: Gate, ask: Ask) -> None:
    assert ask(gate, WIKI, "/open/page").status == 200
    assert ask(gate, "127.0.0.1:5000", "/open/page", secret=gate.sign_in(ALICE)).status == 403
    wiki = gate.sign_in(ALICE, site="wiki")
    assert ask(gate, WIKI, "/admin/page", secret=wiki).status == 403
    assert ask(gate, WIKI, "/page", secret=wiki).status == 200


@each_way
def test_a_sign_in_begins_at_the_site_itself(gate: Gate, ask: Ask) -> None:
    answer = ask(gate, SHOP, "/basket")
    assert answer.status in (302, 401)
    assert answer.header("Location") == f"http://{SHOP}/sso/start?return_to=%2Fbasket"


@each_way
def test_attack_a_session_of_one_site_does_not_count_at_another(gate: Gate, ask: Ask) -> None:
    """The application of a site, or who reads its traffic, has the cookie of this site only."""
    secrets = {
        "": gate.sign_in(ALICE),
        "wiki": gate.sign_in(ALICE, site="wiki"),
        "shop": gate.sign_in(ALICE, site="shop"),
    }
    hosts = {"": "127.0.0.1:5000", "wiki": WIKI, "shop": SHOP}
    for name, secret in secrets.items():
        admitted = [site for site, host in hosts.items() if ask(gate, host, "/page", secret=secret).status == 200]
        assert admitted == [name]


@each_way
def test_attack_a_session_of_a_site_that_was_removed_counts_nowhere(gate: Gate, ask: Ask) -> None:
    gone = gate.sign_in(ALICE, site="gone")
    for host in ("127.0.0.1:5000", WIKI, SHOP, LATER):
        assert ask(gate, host, "/page", secret=gone).status in (302, 401)


@each_way
@pytest.mark.parametrize(
    "host",
    [f"{WIKI}.evil.example", f"evil{WIKI}", f"{WIKI}:81", "shop.example.com", f"x.{WIKI}", f"{WIKI}..", "evil.example"],
)
def test_attack_a_host_that_is_not_listed_is_refused(gate: Gate, ask: Ask, host: str) -> None:
    answer = ask(gate, host, "/open/page", secret=gate.sign_in(ALICE, site="wiki"))
    assert answer.status in (400, 403)
    assert answer.seen is None


def test_attack_a_bare_path_from_nginx_is_not_decided_by_the_rules_of_home(gate: Gate) -> None:
    """With one site, nginx may send $request_uri alone. In front of a further site, home's rules do not protect it."""
    told = {"X-Original-Method": "GET", "X-Original-URL": "/open/page", "Host": "gateway.internal"}
    answer = gate.ask("/sso/auth/nginx", headers={**PAGE, **told}, secret=gate.sign_in(CAROL))
    assert (answer.status, "there are several sites" in answer.text) == (403, True)


@pytest.mark.parametrize("host", [f"{WIKI}@evil.example", f"evil.example@{WIKI}", f"{WIKI}/", f"{WIKI},evil.example"])
@each_way
def test_attack_a_malformed_host_is_refused(gate: Gate, ask: Ask, host: str) -> None:
    assert ask(gate, host, "/open/page").status in (400, 403)


def test_an_application_learns_its_site_and_gets_the_headers_of_its_site(gate: Gate) -> None:
    seen = at(gate, WIKI, secret=gate.sign_in(ALICE, site="wiki")).seen
    assert seen is not None
    assert seen["sso.user"]["site"] == "wiki"
    assert seen["HTTP_X_FORWARDED_USER"] == ALICE.email
    seen = at(gate, "127.0.0.1:5000", secret=gate.sign_in(ALICE)).seen
    assert seen is not None
    assert seen["sso.user"]["site"] == "home"
    assert "HTTP_X_FORWARDED_USER" not in seen


def test_an_access_token_counts_at_every_site(gate: Gate) -> None:
    token = gate.sign_in(CAROL, kind="api")
    for host, name in (("127.0.0.1:5000", "home"), (WIKI, "wiki"), (SHOP, "shop")):
        seen = gate.ask("/page", headers={**SCRIPT, "Host": host, "Authorization": f"Bearer {token}"}).seen
        assert seen is not None
        assert seen["sso.user"]["site"] == name
        assert "HTTP_AUTHORIZATION" not in seen


@pytest.mark.parametrize("cache", ["0", "60"])
def test_attack_the_application_of_a_site_keeps_the_access_token_of_a_person(
    tmp_path: Path, way: str, cache: str
) -> None:
    """A token counts at every site, so it must not be left in a request that a cookie opens."""
    gate = make_gate(tmp_path, HOME_RULES, more=SITES, way=way, SP_SESSION_CACHE=cache)
    token, foreign = gate.sign_in(CAROL, kind="api"), "f" * 43
    for cookie in (gate.sign_in(ALICE, site="wiki"), None):
        for path in ("/page", "/open/x"):
            for secret in (token, token, foreign):  # the second time it may be cached
                headers = {**SCRIPT, "Host": WIKI, "Authorization": f"Bearer {secret}"}
                seen = gate.ask(path, headers=headers, secret=cookie).seen
                assert (secret in repr(seen)) is (secret == foreign and seen is not None)
                if seen is not None and cookie:
                    assert seen["REMOTE_USER"] == ALICE.email
                    assert seen.get("HTTP_AUTHORIZATION") == (f"Bearer {foreign}" if secret == foreign else None)


def test_a_site_without_an_application_says_so(gate: Gate) -> None:
    secret = gate.sign_in(ALICE, site="later")
    answer = at(gate, LATER, secret=secret, page=False)
    assert (answer.status, answer.json["error"]) == (404, "site_without_application")
    assert "Nothing to show here" in at(gate, LATER, secret=secret).text
    assert forward(gate, LATER, secret=secret).status == 200


def test_the_assertion_is_for_the_host_of_the_site(gate: Gate) -> None:
    assertion = forward(gate, SHOP, secret=gate.sign_in(ALICE, site="shop")).header("X-Lychgate-Assertion")
    assert assertion
    claims = json.loads(urlsafe_b64decode(assertion.split(".")[1] + "=="))
    assert (claims["aud"], claims["iss"]) == (SHOP, "http://127.0.0.1:5000")


def test_sites_on_two_ports_of_one_host_do_not_mix_their_cookies(tmp_path: Path, way: str) -> None:
    more = '[sites.wiki]\nurl = "http://127.0.0.1:5001"\napp = "wiki:app"\n'
    gate = make_gate(tmp_path, more=more, way=way)
    home, wiki = gate.sign_in(ALICE), gate.sign_in(CAROL, site="wiki")
    both = {**PAGE, "Cookie": f"theme=dark; sp_session={home}; sp_session_wiki={wiki}"}
    for host, email in (("127.0.0.1:5000", ALICE.email), ("127.0.0.1:5001", CAROL.email)):
        seen = gate.ask("/page", headers={**both, "Host": host}).seen
        assert seen is not None
        assert (seen["REMOTE_USER"], seen["HTTP_COOKIE"]) == (email, "theme=dark")
