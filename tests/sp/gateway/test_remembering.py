"""Each cached result of the gateway applies to exactly one header, or one host, path and method, and to one person."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.cast import ALICE, CAROL
from sp import reloading
from sp.gateway import asgi_scope, destinations
from sp.gateway.access import MAX_REMEMBERED, MAX_REMEMBERED_LENGTH, CookieReader
from sp.policy import decision as policy
from sp.policy.decision import Policy, Rule, Verdict
from sp.sessions.store import ID_LENGTH, hash_id
from tests.sp.gateway.gate import HOST, PAGE, Gate, make_gate

MINE, OTHER = "m" * ID_LENGTH, "o" * ID_LENGTH


@pytest.mark.parametrize(
    ("header", "secret", "others"),
    [
        (f"sp_session={MINE}", MINE, ""),
        (f"theme=dark; sp_session={MINE}; lang=de", MINE, "theme=dark; lang=de"),
        (f"__Host-sp_session={MINE}", None, ""),
        (f"sp_session={MINE}; sp_session={OTHER}", None, ""),
        (f"sp_session={MINE[1:]}", None, ""),
        ("theme=dark", None, "theme=dark"),
        (
            "filler=" + "x" * MAX_REMEMBERED_LENGTH + f"; sp_session={MINE}",
            MINE,
            "filler=" + "x" * MAX_REMEMBERED_LENGTH,
        ),
    ],
)
def test_a_cookie_header_is_read_alike_the_second_time(header: str, secret: str | None, others: str) -> None:
    reader = CookieReader("sp_session")
    expected = (hash_id(secret) if secret else None, others)
    assert (reader.read(header), reader.read(header)) == (expected, expected)


def test_a_header_of_another_session_is_never_taken_for_one_that_is_remembered() -> None:
    reader = CookieReader("sp_session")
    found = {reader.read(f"sp_session={character * ID_LENGTH}").id_hash for character in "abcdefgh"}
    assert len(found) == 8


def test_what_is_remembered_of_a_path_depends_on_method_and_person(monkeypatch: pytest.MonkeyPatch) -> None:
    class Carol:
        email = "carol@example.com"
        groups = ("staff",)

    rules = (Rule("/a/", frozenset({"GET"}), "anyone"), Rule("/a/", allow="members", groups=frozenset({"staff"})))
    for limit in (policy.MAX_REMEMBERED_LENGTH, 3):  # the second: no path is short enough to be remembered
        monkeypatch.setattr(policy, "MAX_REMEMBERED_LENGTH", limit)
        decide = Policy(rules).decide
        for _ in range(2):
            assert decide("GET", "/a/x", None).verdict is Verdict.LET_IN
            assert decide("POST", "/a/x", None).verdict is Verdict.SIGN_IN
            assert decide("POST", "/a/x", Carol()).verdict is Verdict.LET_IN
            assert decide("GET", "/a/../b", Carol()).verdict is Verdict.AMBIGUOUS
            assert decide("GET", "/a/x", None, overrides=["POST"]).verdict is Verdict.SIGN_IN


def test_long_methods_that_strangers_invent_do_not_pile_up() -> None:
    policy_of_none = Policy(())
    for number in range(100):
        assert policy_of_none.decide(f"{'A' * 200_000}{number}", "/x", None).verdict is Verdict.SIGN_IN
    assert policy_of_none._of_plain.cache_info().currsize == 0


@pytest.mark.parametrize("url", ["http://site{0}.example.org", "http://wiki.example.org:{1}"])
def test_attack_strangers_fill_the_caches_of_each_site(tmp_path: Path, url: str) -> None:
    """Twenty sites, on as many hosts or on one, cache no more than one, also where rules have shadows."""
    rules = ['path = "/x"\nshadow = true', 'path = "/"\neverything = true']
    sites = ""
    for number in range(19):
        sites += f'[sites.site{number}]\nurl = "{url.format(number, 9000 + number)}"\n'
        sites += "".join(f'[[sites.site{number}.rules]]\n{rule}\nallow = "anyone"\n' for rule in rules)
    gate = make_gate(tmp_path, [], more=sites)
    parts = list(gate.gateway._steps.keeper.in_force()._of.values())
    assert len(parts) == 20
    readers = {id(reader): reader for reader in (part._read_cookies.__self__ for part in parts)}.values()
    assert sum(reader._remembered.cache_info().maxsize for reader in readers) <= MAX_REMEMBERED
    policies = [policy for part in parts for policy in (part._policy, part._trial) if policy is not None]
    assert len(policies) == 39
    assert sum(each._of_plain.cache_info().maxsize for each in policies) <= policy.MAX_REMEMBERED


WIKI = """
[sites.wiki]
url = "http://wiki.example.org"
app = "wiki.wsgi:app"
[[sites.wiki.rules]]
path = "/public/"
allow = { groups = ["admins"] }
"""
AT_WIKI = {**PAGE, "Host": "wiki.example.org"}


def remembered(gate: Gate) -> destinations.Destinations:
    found: destinations.Destinations = steps_of(gate).keeper.in_force().destinations
    return found


def steps_of(gate: Gate) -> Any:
    return getattr(gate.gateway, "gateway", gate.gateway)._steps


def test_attack_a_path_that_is_open_at_one_host_is_asked_for_at_another(make: Callable[..., Gate]) -> None:
    gate = make(more=WIKI)
    for _ in range(2):
        assert gate.ask("/public/x", headers=PAGE).status == 200
        assert gate.ask("/public/x", headers=AT_WIKI).status == 302
        assert gate.ask("/public/x", headers={**PAGE, "Host": "wiki.example.org.evil.example"}).status == 400
    assert {(HOST, "GET", "/public/x"), ("wiki.example.org", "GET", "/public/x")} <= remembered(gate).keys()


def test_attack_a_method_that_is_open_is_remembered_before_another_is_sent(gate: Gate) -> None:
    for _ in range(2):
        assert gate.ask("/public/x", headers=PAGE).status == 200
        assert gate.ask("/public/x", "POST", headers=PAGE).status == 303
        assert gate.ask("/public/x", "get", headers=PAGE).status == 200
        assert gate.ask("/public/x", headers={**PAGE, "X-HTTP-Method-Override": "POST"}).status == 302
        assert gate.ask("/public/x", headers=PAGE, query="_method=DELETE").status == 302
        assert gate.ask("/public/x", headers=PAGE, query="%5fMethod=DELETE").status == 302


def test_attack_a_path_is_remembered_before_the_request_line_spells_it_differently(gate: Gate) -> None:
    for _ in range(2):
        assert gate.ask("/public/x", headers=PAGE, RAW_URI="/public/x?page=1").status == 200
        assert gate.ask("/public/x", headers=PAGE, RAW_URI="/public%2fx").status == 302
        assert gate.ask("/public/x", headers=PAGE, RAW_URI="/public/../admin/x").status == 400


def test_attack_what_one_person_may_see_is_asked_for_by_another(make: Callable[..., Gate]) -> None:
    gate = make(SP_SESSION_CACHE="60")
    carol, alice = gate.sign_in(CAROL), gate.sign_in(ALICE)
    for _ in range(3):
        answer = gate.ask("/admin/x", headers=PAGE, secret=carol)
        assert answer.status == 200
        assert answer.seen is not None
        assert (answer.seen["REMOTE_USER"], answer.seen["sso.user"]["email"]) == (CAROL.email, CAROL.email)
        assert gate.ask("/admin/x", headers=PAGE, secret=alice).status == 403
        assert gate.ask("/admin/x", headers=PAGE).status == 302


def test_attack_a_socket_is_opened_where_pages_were_remembered(make: Callable[..., Gate]) -> None:
    gate = make(SP_SESSION_CACHE="60")
    secret = gate.sign_in(CAROL)
    for _ in range(2):
        assert gate.ask("/admin/x", headers=PAGE, secret=secret).status == 200
        foreign = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": "http://evil.example"}
        assert gate.ask("/admin/x", headers=foreign, secret=secret).status == 403


def test_attack_a_header_that_passes_for_identity_comes_once_the_others_are_known(gate: Gate) -> None:
    for name in ("X-Forwarded-User", "X.Forwarded.User", "Remote-User"):
        assert gate.ask("/public/x", headers=PAGE).status == 200
        answer = gate.ask("/public/x", headers={**PAGE, name: "admin@example.com"})
        assert answer.seen is not None
        assert "admin@example.com" not in answer.seen.values()


def test_attack_an_application_changes_what_it_was_told_about_a_person(tmp_path: Path) -> None:
    """What is kept of a session is copied for each request, also inside."""

    def spoil(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        user = environ["sso.user"]
        told = repr(user).encode()
        user["groups"].append("admins")
        user["attributes"]["role"] = "root"
        user["email"] = user["added"] = "admin@example.com"
        start_response("200 OK", [])
        return [told]

    gate = make_gate(tmp_path, app=spoil, SP_SESSION_CACHE="60")
    secret = gate.sign_in(ALICE)
    first, second = (gate.ask("/x", headers=PAGE, secret=secret).body for _ in range(2))
    assert first == second
    assert ALICE.email.encode() in first


def test_attack_the_headers_of_one_site_are_kept_for_another(make: Callable[..., Gate]) -> None:
    gate = make(more=WIKI.replace("[[", 'identity_headers = "x-auth-request"\n[['), SP_SESSION_CACHE="60")
    token = gate.sign_in(CAROL, kind="api")
    for _ in range(2):
        for headers, site, set_of_headers in (
            ({"Host": HOST}, "home", set()),
            ({"Host": "wiki.example.org"}, "wiki", {"HTTP_X_AUTH_REQUEST_EMAIL"}),
        ):
            seen = gate.ask("/x", headers={**headers, "Authorization": f"Bearer {token}"}).seen
            assert seen is not None
            assert seen["sso.user"]["site"] == site
            assert seen.keys() & {"HTTP_X_AUTH_REQUEST_EMAIL", "HTTP_REMOTE_EMAIL"} == set_of_headers


def test_attack_strangers_fill_the_memory_of_destinations(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destinations, "MAX_REMEMBERED", 50)
    for number in range(120):
        assert gate.ask(f"/public/{number}", headers=PAGE).status == 200
        assert gate.ask(f"/{number}", f"X{number}", headers=PAGE).status in (302, 401)
        assert len(remembered(gate)) <= 50
    assert gate.ask("/admin/x", headers=PAGE).status == 302
    before = len(remembered(gate))
    longest = destinations.MAX_REMEMBERED_LENGTH
    for path, method, host in (("x" * longest, "GET", HOST), ("x", "G" * longest, HOST), ("x", "GET", "x" * longest)):
        gate.ask(f"/public/{path}", method, headers={**PAGE, "Host": host})
    assert len(remembered(gate)) == before


def test_attack_what_was_open_is_remembered_after_the_rules_have_changed(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "SETTLED", 0.001)
    opened = '[[rules]]\npath = "/notes/"\nallow = "anyone"\n'
    gate = make_gate(tmp_path, more=opened, way=way)
    assert [gate.ask("/notes/x", headers=PAGE).status for _ in range(2)] == [200, 200]
    (tmp_path / "rules.toml").write_text(opened.replace('"anyone"', '{ groups = ["admins"] }'))
    gate.core.reloader.look()
    assert gate.ask("/notes/x", headers=PAGE).status == 302
    (decision, *_) = remembered(gate)[HOST, "GET", "/notes/x"].possible
    assert decision.rule.allow == "members"


def test_names_of_asgi_headers_are_remembered_in_bounds_and_mean_the_same_the_second_time() -> None:
    keys = asgi_scope.Keys(without={"HTTP_COOKIE"})
    wanted = {b"x-a": "HTTP_X_A", b"content-type": "CONTENT_TYPE", b"cookie": "", b"Cookie": "", b"x_a": "", b"x a": ""}
    assert [{name: keys[name] for name in wanted} for _ in range(2)] == [wanted, wanted]
    assert keys.keys() == wanted.keys()
    assert keys[b"x" * asgi_scope.MAX_REMEMBERED_LENGTH + b"y"]
    assert len(keys) == len(wanted)
    for number in range(2 * asgi_scope.MAX_REMEMBERED):
        assert keys[b"x-%d" % number] == f"HTTP_X_{number}"
        assert len(keys) <= asgi_scope.MAX_REMEMBERED
