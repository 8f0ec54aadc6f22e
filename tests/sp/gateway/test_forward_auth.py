"""Forward-auth: which headers about a request are trusted, and what is answered."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from sqlalchemy import update

from lab.cast import ALICE, CAROL, Person
from sp.database.models import AssertionKey
from tests.sp.gateway.gate import HOST, PAGE, SCRIPT, Answer, Gate, make_gate
from tests.support.gateway import URL

FORWARD = {
    "X-Forwarded-Method": "GET",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": HOST,
    "X-Forwarded-Uri": "/page?x=1",
}
NGINX = {"X-Original-Method": "GET", "X-Original-URL": f"http://{HOST}/page?x=1"}


@pytest.fixture
def gate(make: Callable[..., Gate]) -> Gate:
    return make(SP_TRUSTED_PROXIES="127.0.0.1")


def forward(gate: Gate, change: dict[str, str | None] | None = None, **more: Any) -> Answer:
    return ask(gate, "/sso/auth/forward", FORWARD, change, **more)


def nginx(gate: Gate, change: dict[str, str | None] | None = None, **more: Any) -> Answer:
    return ask(gate, "/sso/auth/nginx", NGINX, change, **more)


def ask(gate: Gate, path: str, good: dict[str, str], change: dict[str, str | None] | None, **more: Any) -> Answer:
    told = {name: value for name, value in {**PAGE, **good, **(change or {})}.items() if value is not None}
    return gate.ask(path, headers=told, **more)


def test_the_unchanged_question_is_answered(gate: Gate) -> None:
    secret = gate.sign_in(ALICE)
    assert forward(gate, secret=secret).status == 200
    assert nginx(gate, secret=secret).status == 200


@pytest.mark.parametrize("name", FORWARD)
@pytest.mark.parametrize("value", [None, ""])
def test_a_header_that_caddy_or_traefik_did_not_send_is_400(gate: Gate, name: str, value: str | None) -> None:
    assert forward(gate, {name: value}, secret=gate.sign_in(ALICE)).status == 400


@pytest.mark.parametrize("name", NGINX)
@pytest.mark.parametrize("value", [None, ""])
def test_a_header_that_nginx_did_not_send_is_403(gate: Gate, name: str, value: str | None) -> None:
    assert nginx(gate, {name: value}, secret=gate.sign_in(ALICE)).status == 403


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Forwarded-Method", "GET,POST"),
        ("X-Forwarded-Method", "GET POST"),
        ("X-Forwarded-Method", "/"),
        ("X-Forwarded-Proto", "http,https"),
        ("X-Forwarded-Proto", "ftp"),
        ("X-Forwarded-Host", f"{HOST},evil.example"),
        ("X-Forwarded-Host", "a b"),
        ("X-Forwarded-Host", "user@evil.example"),
        ("X-Forwarded-Host", "evil.example/path"),
        ("X-Forwarded-Uri", "/public/x,/admin"),
        ("X-Forwarded-Uri", "/public/x, /admin"),
        ("X-Forwarded-Uri", "/public/x?,/admin"),
        ("X-Forwarded-Uri", "/public/x,http://evil.example/"),
        ("X-Forwarded-Uri", "public/x"),
        ("X-Forwarded-Uri", "http://127.0.0.1:5000/public/x"),
        ("X-Forwarded-Uri", "/public/x y"),
        ("X-Forwarded-Uri", "/public/x#/../admin"),
        ("X-Forwarded-Uri", "/public/x\x00"),
    ],
)
def test_a_header_that_is_doubled_or_malformed_is_400(gate: Gate, name: str, value: str) -> None:
    assert forward(gate, {name: value}, secret=gate.sign_in(ALICE)).status == 400


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Original-Method", "GET,GET"),
        ("X-Original-URL", f"http://{HOST}/public/x,http://{HOST}/admin"),
        ("X-Original-URL", f"http://{HOST}/public/x, http://{HOST}/admin"),
        ("X-Original-URL", f"http://{HOST}/public/x?a=,http://{HOST}/admin"),
        ("X-Original-URL", "/public/x,/admin"),
        ("X-Original-URL", "javascript:alert(1)"),
        ("X-Original-URL", "http://"),
        ("X-Original-URL", "http:///path"),
        ("X-Original-URL", f"http://{HOST}"),
        ("X-Original-URL", f"http://{HOST}?/admin/x"),  # a Host header that ends in "?", and nginx lets it through
        ("X-Original-URL", f"http://user@{HOST}/x"),
        ("X-Original-URL", f"ftp://{HOST}/x"),
        ("X-Original-URL", "page"),
        ("X-Original-URL", f"http://{HOST}\\@evil.example/x"),
        ("X-Original-URL", f"http://{HOST}/x#y"),
        ("X-Original-URL", "//evil.example/public/x"),
    ],
)
def test_what_nginx_tells_doubled_or_malformed_is_403(gate: Gate, name: str, value: str) -> None:
    assert nginx(gate, {name: value}, secret=gate.sign_in(ALICE)).status == 403


def test_nginx_may_leave_the_host_out(gate: Gate) -> None:
    answer = nginx(gate, {"X-Original-URL": "/page?x=1"})
    assert answer.status == 401
    assert answer.header("Location") == f"{URL}/sso/start?return_to=%2Fpage%3Fx%3D1"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5000", "127.0.0.1.evil.example", "10.0.0.1", "localhost..."]
)
@pytest.mark.parametrize("headers", [PAGE, SCRIPT])
@pytest.mark.parametrize("signed_in", [False, True])
def test_attack_a_question_about_a_host_that_is_not_ours_sends_nobody_to_the_wrong_site(
    gate: Gate, host: str, headers: dict[str, str], signed_in: bool, caplog: pytest.LogCaptureFixture
) -> None:
    secret = gate.sign_in(ALICE) if signed_in else None
    of_forward: dict[str, str | None] = {**headers, "X-Forwarded-Host": host}
    of_nginx: dict[str, str | None] = {**headers, "X-Original-URL": f"https://{host}/page"}
    for path in ("/page", "/public/x"):
        answers = (
            forward(gate, {**of_forward, "X-Forwarded-Uri": path}, secret=secret),
            nginx(gate, {**of_nginx, "X-Original-URL": f"https://{host}{path}"}, secret=secret),
        )
        for answer in answers:
            assert answer.status == 403
            assert answer.header("Location") is None
            assert answer.header("Remote-User") is None
            assert answer.header("X-Lychgate-Assertion") is None
    assert f"asked about {host}, which is not the host of SP_EXTERNAL_URL" in caplog.text


@pytest.mark.parametrize(
    "host", [HOST, "127.0.0.1", "127.0.0.1:8080", "localhost", "LOCALHOST:443", "[::1]:5000", "localhost."]
)
def test_a_question_about_any_name_of_ours_is_answered(gate: Gate, host: str) -> None:
    secret = gate.sign_in(ALICE)
    assert forward(gate, {"X-Forwarded-Host": host}, secret=secret).status == 200
    assert nginx(gate, {"X-Original-URL": f"http://{host}/page"}, secret=secret).status == 200


@pytest.mark.parametrize(("skin", "status"), [(forward, 400), (nginx, 403)])
def test_a_peer_that_is_not_trusted_is_not_believed(gate: Gate, skin: Any, status: int) -> None:
    secret = gate.sign_in(ALICE)
    assert skin(gate, secret=secret, REMOTE_ADDR="192.0.2.1").status == status
    assert skin(gate, {"X-Forwarded-For": "127.0.0.1"}, secret=secret, REMOTE_ADDR="192.0.2.1").status == status
    assert skin(gate, {"X-Forwarded-For": "192.0.2.1"}, secret=secret).status == 200  # the peer counts


@pytest.mark.parametrize(("skin", "status"), [(forward, 400), (nginx, 403)])
def test_by_default_nobody_is_trusted_this_machine_included(tmp_path: Path, skin: Any, status: int) -> None:
    gate = make_gate(tmp_path)
    assert skin(gate, secret=gate.sign_in(ALICE)).status == status


def test_each_address_reads_its_own_proxys_headers_only(gate: Gate) -> None:
    """GHSA-5wcc: where two sets are read, a client writes the one that its proxy does not."""
    secret = gate.sign_in(ALICE)
    public = {"X-Original-URL": f"http://{HOST}/public/x", "X-Original-Method": "GET"}
    assert forward(gate, {"X-Forwarded-Uri": "/admin/x", **public}, secret=secret).status == 403
    public = {**FORWARD, "X-Forwarded-Uri": "/public/x"}
    assert nginx(gate, {"X-Original-URL": f"http://{HOST}/admin/x", **public}, secret=secret).status == 403
    assert nginx(gate, {"X-Original-URL": None, "X-Original-Method": None, **public}, secret=secret).status == 403
    assert gate.ask("/sso/auth/forward", headers={**PAGE, **NGINX}, secret=secret).status == 400


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/admin/x", 403),
        ("/%61dmin/x", 403),
        ("/%2561dmin/x", 403),
        ("/public/%2e%2e/admin/x", 400),
        ("/public/..%2fadmin/x", 400),
        ("/public/%c0%ae%c0%ae/admin/x", 400),
        ("/public/%ff", 400),
        ("/public/x?next=/../admin//", 200),
        ("/caf%C3%A9", 200),
        ("/café", 200),
    ],
)
def test_the_raw_address_is_judged_as_the_application_will_read_it(gate: Gate, target: str, status: int) -> None:
    raw = target.encode().decode("latin-1")
    assert forward(gate, {"X-Forwarded-Uri": raw}, secret=gate.sign_in(ALICE)).status == status


def test_the_host_header_of_the_question_itself_means_nothing(gate: Gate) -> None:
    assert forward(gate, {"Host": "gateway.internal:8080"}, secret=gate.sign_in(ALICE)).status == 200


def test_a_proxy_that_asks_about_the_sign_in_itself_is_told_so_and_not_sent_round(gate: Gate) -> None:
    answer = forward(gate, {"X-Forwarded-Uri": "/sso/start?return_to=/"})
    assert answer.status == 400
    assert "without asking" in answer.text


def test_every_identity_header_is_there_empty_ones_too(make: Callable[..., Gate]) -> None:
    gate = make(SP_TRUSTED_PROXIES="127.0.0.1", SP_IDENTITY_HEADERS="x-auth-request")
    nameless = Person("x@example.com", "", "", "")
    answer = forward(gate, {"X-Auth-Request-User": CAROL.email}, secret=gate.sign_in(nameless))
    assert answer.header("X-Auth-Request-User") == "x@example.com"
    assert answer.header("X-Auth-Request-Preferred-Username") == ""
    assert answer.header("X-Auth-Request-Groups") == ""
    assert answer.header("Remote-User") is None


def claims_in(gate: Gate, answer: Answer, audience: str = HOST) -> dict[str, Any]:
    """Check the assertion as docs/guides/proxies.md shows it, with a library of other people."""
    keys = jwt.PyJWKSet.from_dict(gate.ask("/.well-known/jwks.json").json)
    token = answer.header("X-Lychgate-Assertion") or ""
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(token, key, ["ES256"], audience=audience, issuer=URL)
    return claims


def test_the_assertion_says_who_is_there_for_one_host_and_two_minutes(gate: Gate) -> None:
    secret = gate.sign_in(ALICE)
    answer = forward(gate, {"X-Forwarded-Host": "LocalHost:8443"}, secret=secret)
    claims = claims_in(gate, answer, "localhost:8443")
    assert (claims["email"], claims["groups"]) == (ALICE.email, ["staff"])
    assert claims["exp"] - claims["iat"] == 120
    assert claims["sub"] == str(gate.person(ALICE))
    assert jwt.get_unverified_header(answer.header("X-Lychgate-Assertion") or "")["alg"] == "ES256"
    assert claims_in(gate, nginx(gate, secret=secret))["jti"] != claims["jti"]


def test_an_assertion_for_another_host_or_with_another_signature_is_refused_by_its_reader(gate: Gate) -> None:
    answer = forward(gate, secret=gate.sign_in(ALICE))
    with pytest.raises(jwt.InvalidAudienceError):
        claims_in(gate, answer, "other.example")
    name, token = next((n, v) for n, v in answer.headers if n == "X-Lychgate-Assertion")
    answer.headers.remove((name, token))
    answer.headers.append((name, token[:-4] + "AAAA"))
    with pytest.raises(jwt.InvalidSignatureError):
        claims_in(gate, answer)


def test_an_assertion_signs_nobody_in(gate: Gate) -> None:
    token = forward(gate, secret=gate.sign_in(ALICE)).header("X-Lychgate-Assertion")
    assert gate.ask("/page", headers={**SCRIPT, "Authorization": f"Bearer {token}"}).status == 401
    assert gate.ask("/page", headers={**SCRIPT, "Cookie": f"sp_session={token}"}).status == 401


def test_a_new_key_is_published_at_once_and_signs_only_when_all_can_know_it(gate: Gate) -> None:
    secret = gate.sign_in(ALICE)
    before = claims_and_kid(gate, secret)
    new = gate.core.assertions.rotate()
    assert {key["kid"] for key in gate.ask("/.well-known/jwks.json").json["keys"]} == {before, new}
    gate.core.assertions._current = None
    assert claims_and_kid(gate, secret) == before

    age(gate, before, hours=3)
    age(gate, new, hours=1.5)
    assert claims_and_kid(gate, secret) == new
    assert len(gate.ask("/.well-known/jwks.json").json["keys"]) == 2

    age(gate, new, hours=1)
    assert claims_and_kid(gate, secret) == new
    assert [key["kid"] for key in gate.ask("/.well-known/jwks.json").json["keys"]] == [new]


def test_keys_rotate_by_themselves(gate: Gate) -> None:
    old = claims_and_kid(gate, gate.sign_in(ALICE))
    age(gate, old, hours=24 * 91)
    assert claims_and_kid(gate, gate.sign_in(ALICE)) == old
    assert len(gate.ask("/.well-known/jwks.json").json["keys"]) == 2


def test_two_workers_that_start_at_once_make_one_key(tmp_path: Path) -> None:
    first = make_gate(tmp_path, SP_TRUSTED_PROXIES="127.0.0.1")
    second = make_gate(tmp_path, SP_TRUSTED_PROXIES="127.0.0.1")
    assert claims_and_kid(first, first.sign_in(ALICE)) == claims_and_kid(second, second.sign_in(ALICE))


def test_private_keys_are_neither_published_nor_readable_in_the_database(gate: Gate) -> None:
    claims_and_kid(gate, gate.sign_in(ALICE))
    published = gate.ask("/.well-known/jwks.json")
    assert set(published.json["keys"][0]) == {"kty", "crv", "x", "y", "kid", "alg", "use"}
    assert b"PRIVATE KEY" not in (gate.core.config.instance / "sp.sqlite3").read_bytes()


def test_after_a_change_of_the_secret_key_alone_a_new_key_takes_over(tmp_path: Path) -> None:
    gate = make_gate(tmp_path, SP_TRUSTED_PROXIES="127.0.0.1")
    before = claims_and_kid(gate, gate.sign_in(ALICE))
    changed = make_gate(tmp_path, SP_TRUSTED_PROXIES="127.0.0.1", SP_SECRET_KEY="another" * 8)
    assert claims_and_kid(changed, changed.sign_in(ALICE)) != before


def claims_and_kid(gate: Gate, secret: str) -> str:
    answer = forward(gate, secret=secret)
    assert claims_in(gate, answer)["email"] == ALICE.email
    return str(jwt.get_unverified_header(answer.header("X-Lychgate-Assertion") or "")["kid"])


def age(gate: Gate, kid: str, hours: float) -> None:
    """Make a key so much older, and let the worker look again."""
    from datetime import timedelta

    table: Any = AssertionKey.__table__
    with gate.core.database.engine.execution_options(write=True).begin() as connection:
        created_at = connection.execute(table.select().where(table.c.kid == kid)).one().created_at
        older = created_at - timedelta(hours=hours)
        connection.execute(update(table).where(table.c.kid == kid).values(created_at=older))
    gate.core.assertions._current = None
