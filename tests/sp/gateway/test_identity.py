"""Identity: everything that could pass for it is taken out, and what we know is put in where no header reaches."""

from collections.abc import Callable
from urllib.parse import unquote

import pytest

from lab.cast import ALICE, CAROL, Person
from sp.request.identity_headers import HEADER_SETS, IdentityHeaderFilter, Sender, encode
from tests.sp.gateway.gate import PAGE, Gate

SPELLINGS = """
Remote-User Remote_User REMOTE-USER remote.user Remote-Email Remote-Name Remote-Groups Remote--User
X-Remote-User X-Remote-Groups X-Forwarded-User X_Forwarded_User x.forwarded.user X-Forwarded_User
X-Forwarded-Email X-Forwarded-Groups X-Forwarded-Preferred-Username X-Forwarded-Access-Token
X-Auth-Request-User X-Auth-Request-Email X-Auth-Request-Groups X-Auth-Request-Access-Token X-Auth-User
X-Auth-Email X-Authenticated-User X-Authenticated-Userid X-Authentik-Username X-Webauth-User X-WEBAUTH-EMAIL
X-User X-User-Id X-User-Email X-Username X-Email X-Groups X-Lychgate-Assertion X_Lychgate_Assertion
Lychgate-User SSO-User X-SSO-User Auth-Type Auth-User Logon-User X-Proxy-User OIDC-Claim-Email
X-Goog-Authenticated-User-Email X-Amzn-Oidc-Identity X-Ms-Client-Principal-Name
Cf-Access-Authenticated-User-Email X-Pomerium-Claim-Email X-Vouch-User X-Consumer-Username
X-Credential-Identifier Tailscale-User-Login Impersonate-User Ssl-Client-S-Dn X-Ssl-Client-Verify
X-Client-Cert X-Forwarded-Client-Cert iv-user iv-groups SM_USER SMUSER OAM_REMOTE_USER GAP-Auth Osso-User-Dn X-Client-Dn
X-Client-Verify X-Tls-Client-Cert X-JWT-Assertion X-Proxy-Roles X-Forwarded-Sub X-Forwarded-Identity
X-Forwarded-Given-Name X-Forwarded-Display-Name X-Forwarded-Client-Dn
""".split()  # noqa: SIM905  # with one name per line, it would fill a page
KEYS = ("REMOTE_USER", "REMOTE_IDENT", "AUTH_TYPE", "AUTH_USER", "sso.user", "sso.anything")


def as_key(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")


@pytest.mark.parametrize("path", ["/page", "/public/page"])
@pytest.mark.parametrize("signed_in", [True, False])
def test_no_spelling_of_a_foreign_identity_reaches_the_application(gate: Gate, path: str, signed_in: bool) -> None:
    forged = {as_key(name): CAROL.email for name in SPELLINGS} | dict.fromkeys(KEYS, CAROL.email)
    secret = gate.sign_in(ALICE) if signed_in else None
    seen = gate.ask(path, headers=PAGE, secret=secret, **forged).seen
    if seen is None:
        assert not signed_in
        return
    assert CAROL.email not in repr(seen)
    assert seen.get("REMOTE_USER") == (ALICE.email if signed_in else None)


@pytest.mark.parametrize("name", SPELLINGS)
def test_each_spelling_is_removed_by_itself(name: str) -> None:
    for sender in Sender:
        environ = {as_key(name): "carol"}
        IdentityHeaderFilter().clean(environ, sender)
        assert environ == {}


@pytest.mark.parametrize(
    "name",
    ["User-Agent", "X-User-Agent", "Authorization", "X-Auth-Token", "X-Access-Token", "X-Api-Key", "Accept", "Cookie",
     "X-Requested-With", "X-Csrf-Token", "From", "Referer", "X-Request-Id", "X-Client-Data", "Sm-Feature"],
)  # fmt: skip
def test_what_is_no_identity_stays(name: str) -> None:
    environ = {as_key(name): "value"}
    IdentityHeaderFilter().clean(environ, Sender.STRANGER)
    assert environ == {as_key(name): "value"}


def stays(name: str, sender: Sender) -> bool:
    environ = {as_key(name): "value"}
    IdentityHeaderFilter().clean(environ, sender)
    return as_key(name) in environ


@pytest.mark.parametrize(
    "name",
    ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "Forwarded", "X-Real-IP", "Via"],
)
def test_what_only_proxies_may_say_is_taken_from_strangers(name: str) -> None:
    assert [sender for sender in Sender if stays(name, sender)] == [Sender.PROXY, Sender.QUESTIONER]


REWRITING = ["X-Original-URL", "X-Original-Method", "X-Original-Host", "X-Rewrite-URL", "X-Forwarded-Uri",
             "X-Forwarded-Method", "X-Script-Name", "Script-Name", "X-Path-Info", "X-HTTP-Destination-URL"]  # fmt: skip


@pytest.mark.parametrize("name", REWRITING)
def test_another_address_than_the_one_judged_is_taken_from_proxies_too(name: str) -> None:
    """Proxies pass such a header on as a client has sent it, and some applications serve what it names."""
    assert [sender for sender in Sender if stays(name, sender)] == [Sender.QUESTIONER]


def test_behind_a_trusted_proxy_no_client_slips_the_application_another_address(make: Callable[..., Gate]) -> None:
    gate = make(SP_TRUSTED_PROXIES="127.0.0.1")
    seen = gate.ask("/public/admin/x", headers={**PAGE, **dict.fromkeys(REWRITING, "/admin/x")}).seen
    assert seen is not None
    assert not {as_key(name) for name in REWRITING} & seen.keys()


@pytest.mark.parametrize("name", ["HTTP_X_{}", "HTTP_X_{}" + "A" * 60_000])
def test_names_that_strangers_invent_do_not_pile_up(name: str) -> None:
    sieve = IdentityHeaderFilter()
    for number in range(10_000 if len(name) < 100 else 500):
        sieve.clean({name.format(number): "1"}, Sender.STRANGER)
    assert sum(len(key) for names in sieve._usual.values() for key in names) <= 4096 * 100
    environ = {"HTTP_REMOTE_USER": "carol", "HTTP_X_NEW": "1"}
    sieve.clean(environ, Sender.STRANGER)
    assert environ == {"HTTP_X_NEW": "1"}
    assert "HTTP_X_NEW" in sieve._usual[Sender.STRANGER]  # nor do they keep true names out


def test_the_application_learns_who_is_there(gate: Gate) -> None:
    account_id = gate.person(ALICE, attributes={"department": "Tea"}, login="alice")
    seen = gate.ask("/page", headers=PAGE, secret=gate.sign_in(ALICE)).seen
    assert seen is not None
    assert (seen["REMOTE_USER"], seen["AUTH_TYPE"]) == (ALICE.email, "jwt-sso")
    user = seen["sso.user"]
    assert user["id"] == account_id
    assert user["email"] == ALICE.email
    assert (user["name"], user["given_name"], user["family_name"]) == (ALICE.name, "Alice", "Liddell")
    assert (user["groups"], user["attributes"]) == (["staff"], {"department": "Tea"})
    assert user["provider"] == "corporate"
    assert len(user["session"]) == 16


def test_what_an_application_does_to_its_copy_changes_nothing(make: Callable[..., Gate]) -> None:
    gate = make(SP_SESSION_CACHE="60")
    secret = gate.sign_in(ALICE)
    seen = gate.ask("/page", secret=secret).seen
    assert seen is not None
    seen["sso.user"]["groups"].append("admins")
    seen["sso.user"]["attributes"]["x"] = 1
    again = gate.ask("/page", secret=secret).seen
    assert again is not None
    assert again["sso.user"]["groups"] == ["staff"]
    assert again["sso.user"]["attributes"] == {}
    assert gate.ask("/admin/x", headers=PAGE, secret=secret).status == 403


@pytest.mark.parametrize(
    ("cookie", "left"),
    [
        ("theme=dark; sp_session={}", "theme=dark"),
        ("sp_session={}", None),
        ("sp_session={}; theme=dark", "theme=dark"),
        ("a=1; sp_session={}; sp_form=x; sp_pending_ab12=y; sp_landed=z; sp_device=w; sp_provider=v; b=2", "a=1; b=2"),
        ("a=1; sp_session={};sp_session={} ;b=2", "a=1;b=2"),
        ("sp_session={}; __Host-sp_session=x; __Host-sp_pending_1=y; sp_spelling=stays", "sp_spelling=stays"),
    ],
)
def test_our_cookies_are_kept_from_the_application(gate: Gate, cookie: str, left: str | None) -> None:
    secret = gate.sign_in(ALICE)
    seen = gate.ask("/page", headers={**PAGE, "Cookie": cookie.replace("{}", secret)}).seen
    assert seen is not None
    assert seen.get("HTTP_COOKIE") == left


def test_cookies_that_a_server_joined_by_a_comma_do_not_leak(gate: Gate) -> None:
    secret = gate.sign_in(ALICE)
    seen = gate.ask("/public/x", headers={**PAGE, "Cookie": f"a=1,sp_session={secret}, b=2"}).seen
    assert seen is not None
    assert secret not in repr(seen)


@pytest.mark.parametrize("header_set", HEADER_SETS)
def test_an_operator_may_ask_for_headers_as_well(make: Callable[..., Gate], header_set: str) -> None:
    gate = make(SP_IDENTITY_HEADERS=header_set)
    seen = gate.ask("/page", headers=PAGE, secret=gate.sign_in(ALICE), HTTP_REMOTE_USER="carol").seen
    assert seen is not None
    names = [as_key(name) for name in HEADER_SETS[header_set]]
    assert [seen[name] for name in names][:2] == [ALICE.email, ALICE.email]
    assert seen[names[3]] == "staff"
    stranger = gate.ask("/public/x", headers=PAGE, **dict.fromkeys(names, "carol")).seen
    assert stranger is not None
    assert not any(name in stranger for name in names)


def test_without_being_asked_no_header_is_added(gate: Gate) -> None:
    seen = gate.ask("/page", headers=PAGE, secret=gate.sign_in(ALICE)).seen
    assert seen is not None
    assert not any("REMOTE" in name for name in seen if name.startswith("HTTP_"))


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("alice@example.com", "alice@example.com"),
        ("Élodie Dürer", "%C3%89lodie D%C3%BCrer"),
        ("Алиса", "%D0%90%D0%BB%D0%B8%D1%81%D0%B0"),
        ("100% sure", "100%25 sure"),
        ("%61lice", "%2561lice"),
        ("two\r\nSet-Cookie: x", "two%0D%0ASet-Cookie: x"),
        ("", ""),
    ],
)
def test_a_value_becomes_a_header_that_reads_back(value: str, encoded: str) -> None:
    assert encode(value) == encoded
    assert unquote(encoded) == value


def test_a_group_with_a_comma_stays_one_group(make: Callable[..., Gate]) -> None:
    gate = make(SP_IDENTITY_HEADERS="remote")
    tricky = Person("alice@example.com", "", "Zoë", "Liddell", ("staff,admins", "100%", "Tōkyō"))
    seen = gate.ask("/page", secret=gate.sign_in(tricky)).seen
    assert seen is not None
    groups = seen["HTTP_REMOTE_GROUPS"].split(",")
    assert [unquote(group) for group in groups] == list(tricky.groups)
    assert seen["HTTP_REMOTE_NAME"] == "Zo%C3%AB Liddell"
    assert seen["REMOTE_USER"] == tricky.email


def test_an_address_in_other_letters_is_told_as_wsgi_wants_it(gate: Gate) -> None:
    seen = gate.ask("/page", secret=gate.sign_in(Person("jürgen@example.com", "", "J", "P"))).seen
    assert seen is not None
    assert seen["REMOTE_USER"].encode("latin-1").decode() == "jürgen@example.com"
    assert seen["sso.user"]["email"] == "jürgen@example.com"
