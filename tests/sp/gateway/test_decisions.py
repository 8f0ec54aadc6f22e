"""The decision table of docs/protocol.md: three entry points, one decision."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from lab.cast import ALICE, BOB, CAROL
from sp.policy.decision import Policy, Rule, Verdict
from tests.sp.gateway.gate import HOST, PAGE, SCRIPT, Answer, Gate

FORM = {"Accept": "text/html", "Content-Type": "application/x-www-form-urlencoded"}
SKINS = ("in process", "forward", "nginx")
PROXY = {"SP_TRUSTED_PROXIES": "127.0.0.1"}


def through(
    gate: Gate, skin: str, path: str, method: str = "GET", headers: dict[str, str] | None = None, **more: Any
) -> Answer:
    """Ask for *path* through one of the three entry points."""
    headers = headers or {}
    if skin == "in process":
        path, _question, query = path.partition("?")
        return gate.ask(path, method, headers, query=query, **more)
    if skin == "forward":
        told = {"X-Forwarded-Method": method, "X-Forwarded-Proto": "http", "X-Forwarded-Host": HOST}
        return gate.ask("/sso/auth/forward", headers={**headers, **told, "X-Forwarded-Uri": path}, **more)
    told = {"X-Original-Method": method, "X-Original-URL": f"http://{HOST}{path}"}
    return gate.ask("/sso/auth/nginx", headers={**headers, **told}, **more)


@pytest.fixture
def gate(make: Callable[..., Gate]) -> Gate:
    return make(**PROXY)


every_skin = pytest.mark.parametrize("skin", SKINS)


@every_skin
def test_who_is_signed_in_is_let_in(gate: Gate, skin: str) -> None:
    answer = through(gate, skin, "/page", headers=PAGE, secret=gate.sign_in(ALICE))
    assert answer.status == 200
    if skin == "in process":
        assert answer.body == b"reached"
    else:
        assert answer.header("Remote-User") == ALICE.email
        assert answer.header("Remote-Groups") == "staff"
        assert answer.header("Set-Cookie") is None


@pytest.mark.parametrize(("skin", "status"), [("in process", 302), ("forward", 302), ("nginx", 401)])
def test_a_person_who_is_signed_out_is_sent_to_the_sign_in_and_back(gate: Gate, skin: str, status: int) -> None:
    answer = through(gate, skin, "/deep/page?tab=2&q=a%20b", headers=PAGE)
    assert answer.status == status
    location = answer.header("Location") or ""
    assert location.startswith(f"http://{HOST}/sso/start?")
    assert parse_qs(urlsplit(location).query)["return_to"] == ["/deep/page?tab=2&q=a%20b"]


@pytest.mark.parametrize(("skin", "status"), [("in process", 303), ("forward", 303), ("nginx", 401)])
def test_a_form_of_somebody_who_is_signed_out_comes_back_with_get(gate: Gate, skin: str, status: int) -> None:
    answer = through(gate, skin, "/save", "POST", FORM)
    assert answer.status == status
    assert answer.header("Location")


@every_skin
@pytest.mark.parametrize(
    "headers",
    [
        SCRIPT,
        {"Accept": "application/json"},
        {"Accept": "text/html", "X-Requested-With": "XMLHttpRequest"},
        {"Accept": "text/html", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Accept": "*/*", "Authorization": "Bearer something-of-the-application"},
        {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "eA==", "Accept": "text/html"},
    ],
)
def test_a_script_that_is_signed_out_is_told_401_and_sent_nowhere(
    gate: Gate, skin: str, headers: dict[str, str]
) -> None:
    answer = through(gate, skin, "/api/items", headers=headers)
    assert answer.status == 401
    assert answer.header("Location") is None
    assert (answer.header("WWW-Authenticate") or "").startswith("Bearer")
    if skin == "in process":
        assert answer.json["error"] == "sign_in_required"


@every_skin
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_a_method_that_no_form_has_is_a_scripts(gate: Gate, skin: str, method: str) -> None:
    answer = through(gate, skin, "/api/items", method, {"Accept": "text/html"})
    assert (answer.status, answer.header("Location")) == (401, None)


@every_skin
def test_who_is_signed_in_but_not_allowed_is_refused(gate: Gate, skin: str) -> None:
    answer = through(gate, skin, "/admin/users", headers=PAGE, secret=gate.sign_in(ALICE))
    assert answer.status == 403
    assert answer.header("Remote-User") is None
    assert answer.seen is None


@pytest.mark.parametrize("skin", ["in process", "forward"])
def test_the_refusal_says_who_you_are_what_is_missing_and_how_to_switch(gate: Gate, skin: str) -> None:
    page = through(gate, skin, "/admin/users", headers=PAGE, secret=gate.sign_in(ALICE)).text
    for said in (ALICE.email, ALICE.name, "staff", "the group admins", "/logout", "Switch account"):
        assert said in page


def test_the_refusal_names_no_other_person(gate: Gate) -> None:
    page = gate.ask("/for-carol/page", headers=PAGE, secret=gate.sign_in(ALICE)).text
    assert CAROL.email not in page.lower()


def test_a_script_that_is_not_allowed_reads_why(gate: Gate) -> None:
    answer = gate.ask("/admin/users", headers=SCRIPT, secret=gate.sign_in(ALICE))
    assert answer.status == 403
    assert answer.json["error"] == "forbidden"
    assert answer.json["user"] == ALICE.email
    assert answer.json["missing"] == ["the group admins"]


@pytest.mark.parametrize(("skin", "status"), [("in process", 400), ("forward", 400), ("nginx", 403)])
@pytest.mark.parametrize("path", ["/public/../admin/x", "//admin/x", "/a//b", "/a\\b", "/./a"])
def test_an_ambiguous_path_is_refused_before_any_rule(gate: Gate, skin: str, status: int, path: str) -> None:
    assert through(gate, skin, path, headers=PAGE, secret=gate.sign_in(CAROL)).status == status


@pytest.mark.parametrize("path", ["/public/\xff", "/public/\xc0\xae\xc0\xae/admin/x", "/caf\xe9"])
def test_a_path_that_is_no_utf8_is_refused(gate: Gate, path: str) -> None:
    """Overlong dots and slashes are not valid UTF-8, but some servers accept them."""
    assert gate.ask(headers=PAGE, secret=gate.sign_in(CAROL), PATH_INFO=path).status == 400


@every_skin
def test_without_a_database_nobody_is_let_in(gate: Gate, skin: str) -> None:
    secret = gate.sign_in(ALICE)
    gate.core.database.engine.dispose()
    (gate.core.config.instance / "sp.sqlite3").write_bytes(b"this is no database")
    for file in gate.core.config.instance.glob("sp.sqlite3-*"):
        file.unlink()
    for headers in (PAGE, SCRIPT):
        answer = through(gate, skin, "/page", headers=headers, secret=secret)
        assert answer.status == 503
        assert answer.seen is None
        assert answer.header("Retry-After")


@every_skin
def test_on_a_public_path_nobody_needs_a_name_and_who_has_one_keeps_it(gate: Gate, skin: str) -> None:
    stranger = through(gate, skin, "/public/page", headers=PAGE)
    known = through(gate, skin, "/public/page", headers=PAGE, secret=gate.sign_in(ALICE))
    assert (stranger.status, known.status) == (200, 200)
    if skin == "in process":
        assert stranger.seen is not None
        assert "REMOTE_USER" not in stranger.seen
        assert "sso.user" not in stranger.seen
        assert known.seen is not None
        assert known.seen["REMOTE_USER"] == ALICE.email
    else:
        names = ("Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups", "X-Lychgate-Assertion")
        assert [stranger.header(name) for name in names] == [""] * 5
        assert known.header("Remote-User") == ALICE.email


@every_skin
def test_a_rule_is_for_its_methods_only(gate: Gate, skin: str) -> None:
    assert through(gate, skin, "/public/page", "POST", FORM).status in (303, 401)


@every_skin
def test_a_method_that_a_header_puts_in_the_others_place_counts_as_well(gate: Gate, skin: str) -> None:
    headers = {**PAGE, "X-HTTP-Method-Override": "DELETE"}
    assert through(gate, skin, "/public/page", headers=headers).status in (302, 401)


@every_skin
@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
@pytest.mark.parametrize(
    "value",
    ["GET, DELETE", "DELETE,GET", "get,delete", "GET;DELETE", "GET\tDELETE", '"DELETE"', ",DELETE,", "HEAD,DELETE"],
)
def test_attack_a_list_of_methods_hides_none_of_them(gate: Gate, skin: str, header: str, value: str) -> None:
    assert through(gate, skin, "/public/page", headers={**PAGE, header: value}).status in (302, 401)
    assert through(gate, skin, "/public/page", headers={**PAGE, header: "GET, head"}).status == 200


@every_skin
@pytest.mark.parametrize(
    "query",
    ["_method=DELETE", "a=b&_method=delete", "_method=GET&_method=DELETE", "_method=GET,DELETE", "a;_method=DELETE",
     "%5fmethod=DELETE", "_%6Dethod=%44ELETE", "_method[]=DELETE", ".method=DELETE", "+_method=DELETE",
     "%20.method%5B0%5D=DELETE"],
)  # fmt: skip
def test_attack_the_query_names_another_method(gate: Gate, skin: str, query: str) -> None:
    assert through(gate, skin, f"/public/page?{query}", headers=PAGE).status in (302, 401)


@every_skin
@pytest.mark.parametrize(
    "query", ["_method=GET", "_method=", "method=DELETE", "a=_method", "x_method=DELETE", "a=%26_method=D"]
)
def test_a_query_that_names_no_other_method_changes_nothing(gate: Gate, skin: str, query: str) -> None:
    assert through(gate, skin, f"/public/page?{query}", headers=PAGE).status == 200


def test_attack_thousands_of_methods_cost_no_more_than_one_that_no_rule_names() -> None:
    asked: list[str] = []

    class Counting(Rule):
        def covers(self, method: str, path: str) -> bool:
            asked.append(method)
            return super().covers(method, path)

    rules = (Counting("/a/", frozenset({"GET", "PUT"}), "anyone"), Counting("/b/"))
    names = [f"M{number}" for number in range(4000)]
    assert Policy(rules).decide("GET", "/a/x", None, overrides=names).verdict is Verdict.SIGN_IN
    assert len(asked) < 20


@every_skin
@pytest.mark.parametrize(
    ("path", "person", "status"),
    [
        ("/admin/x", CAROL, 200),
        ("/for-carol/x", CAROL, 200),
        ("/partners/x", CAROL, 403),
        ("/exact", ALICE, 200),
        ("/exact/more", ALICE, 200),
        ("/administrators", ALICE, 200),
    ],
)
def test_groups_users_and_domains_decide(gate: Gate, skin: str, path: str, person: object, status: int) -> None:
    assert isinstance(person, type(ALICE))
    assert through(gate, skin, path, headers=PAGE, secret=gate.sign_in(person)).status == status


@every_skin
def test_a_disabled_account_is_nobody(gate: Gate, skin: str) -> None:
    secret = gate.sign_in(BOB)
    gate.person(BOB, is_active=False)
    assert through(gate, skin, "/page", headers=SCRIPT, secret=secret).status == 401


@every_skin
@pytest.mark.parametrize(
    "cookie",
    [
        "sp_session=",
        "sp_session=short",
        f"sp_session={'A' * 43}",
        "sp_session",
        f"sp_session={'é' * 43}",
        'sp_session="R-WIWm4SEXOEsgPFrl8tcapPmbMAet8vslyTA8NlepI"',
        "=;;;sp_session==",
        f"sp_session={'A' * 60_000}",
    ],
)
def test_a_malformed_or_unknown_cookie_is_nobodys(gate: Gate, skin: str, cookie: str) -> None:
    assert through(gate, skin, "/page", headers={**SCRIPT, "Cookie": cookie}).status == 401


@every_skin
def test_two_different_cookies_count_as_none(gate: Gate, skin: str) -> None:
    secret = gate.sign_in(ALICE)
    for cookie in (f"sp_session={secret}; sp_session=x", f"sp_session={gate.sign_in(CAROL)}; sp_session={secret}"):
        assert through(gate, skin, "/page", headers={**SCRIPT, "Cookie": cookie}).status == 401
    twice = f"sp_session={secret}; theme=dark; sp_session={secret}"
    assert through(gate, skin, "/page", headers={**SCRIPT, "Cookie": twice}).status == 200


@every_skin
@pytest.mark.parametrize("name", ["SP_SESSION", "sp_session ", "__Host-sp_session", "sp_pending_1", "xsp_session"])
def test_only_the_exact_name_is_the_sessions(gate: Gate, skin: str, name: str) -> None:
    headers = {**SCRIPT, "Cookie": f"{name}={gate.sign_in(ALICE)}"}
    assert through(gate, skin, "/page", headers=headers).status == 401


@every_skin
def test_an_access_token_is_no_cookie_and_opens_by_its_header(gate: Gate, skin: str) -> None:
    token = gate.sign_in(ALICE, kind="api")
    assert through(gate, skin, "/page", headers=SCRIPT, secret=token).status == 401
    answer = through(gate, skin, "/page", headers={**SCRIPT, "Authorization": f"Bearer {token}"})
    assert answer.status == 200
    if skin == "in process":
        assert answer.seen is not None
        assert "HTTP_AUTHORIZATION" not in answer.seen
    browser = gate.sign_in(ALICE)
    assert through(gate, skin, "/page", headers={**SCRIPT, "Authorization": f"Bearer {browser}"}).status == 401


@every_skin
@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (f"http://{HOST}", 200),
        ("http://evil.example", 403),
        ("http://127.0.0.1:9999", 403),
        ("null", 403),
        (f"https://{HOST}", 403),
        ("http://[", 403),
        (f"http://user@{HOST}", 403),
        (f"http://{HOST}/page", 403),
        (f"http://{HOST}.evil.example", 403),
        (None, 403),
    ],
)
def test_a_websocket_is_opened_for_our_own_pages_only(gate: Gate, skin: str, origin: str | None, status: int) -> None:
    headers = {"Upgrade": "websocket", "Sec-WebSocket-Key": "eA==", "Sec-WebSocket-Version": "13"}
    if origin:
        headers["Origin"] = origin
    assert through(gate, skin, "/socket", headers=headers, secret=gate.sign_in(ALICE)).status == status


def test_the_location_begins_with_the_external_url_whatever_the_request_says(gate: Gate) -> None:
    for answer in (
        gate.ask("/page", headers={**PAGE, "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"},
                 HTTP_HOST=HOST, REMOTE_ADDR="192.0.2.1"),
        through(gate, "forward", "/page", headers=PAGE),
        gate.ask("/sso/auth/forward", headers={**PAGE, "X-Forwarded-Method": "GET", "X-Forwarded-Proto": "https",
                                               "X-Forwarded-Host": "localhost", "X-Forwarded-Uri": "/page"}),
    ):  # fmt: skip
        assert (answer.header("Location") or "").startswith(f"http://{HOST}/sso/start?return_to=%2Fpage")


def test_a_page_whose_address_is_too_long_is_asked_for_without_its_query(gate: Gate) -> None:
    location = gate.ask("/page", headers=PAGE, query="q=" + "x" * 5000).header("Location")
    assert location == f"http://{HOST}/sso/start?return_to=%2Fpage"


def test_head_gets_no_body(gate: Gate) -> None:
    for headers in (PAGE, SCRIPT):
        assert gate.ask("/page", "HEAD", headers).body == b""
        assert gate.ask("/admin/x", "HEAD", headers, secret=gate.sign_in(ALICE)).body == b""
