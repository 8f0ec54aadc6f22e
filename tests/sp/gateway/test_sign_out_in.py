"""Sign-out that an identity provider asks for: which tokens it heeds, and whose sessions end."""

import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from lab.cast import ALICE, CAROL, MALLORY
from lab.minting import mint
from tests.sp.gateway.gate import PAGE, SCRIPT, Answer, Gate
from tests.support.gateway import URL

KEY, OTHER_KEY = "k" * 48, "o" * 48
EVENT = "http://schemas.openid.net/event/backchannel-logout"
HEADER = {"alg": "HS256", "typ": "logout+jwt"}
PROVIDERS: dict[str, dict[str, Any]] = {
    "corporate": {
        "default": True,
        "keys": [KEY],
        "login_url": "http://127.0.0.1:9/login",
        "issuer": {"expected": "https://idp.example", "match": True, "required": True},
        "audience": {"expected": URL, "match": True, "required": True},
        "mapping": {"id": ["sub", "email"]},
    },
    "other": {"keys": [OTHER_KEY], "login_url": "http://127.0.0.1:9/login"},
}


@pytest.fixture
def gate(make: Callable[..., Gate]) -> Gate:
    gate = make()
    gate.core.provider_store.apply(PROVIDERS, actor="test")
    return gate


def claims(**change: Any) -> dict[str, Any]:
    """Return the claims of a good sign-out token for Alice, changed; None leaves a claim out."""
    now = int(time.time())
    good = {
        "iss": "https://idp.example",
        "aud": URL,
        "iat": now,
        "exp": now + 120,
        "jti": secrets.token_urlsafe(16),
        "sub": "alice-id",
        "events": {EVENT: {}},
    }
    return {name: value for name, value in {**good, **change}.items() if value is not None}


def post(gate: Gate, token: str, **form: str) -> Answer:
    body = urlencode({"logout_token": token, **form}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return gate.ask("/sso/logout/backchannel", "POST", headers, body=body)


def alive(gate: Gate, secret: str) -> bool:
    return gate.ask("/page", headers=SCRIPT, secret=secret).status == 200


def test_a_sign_out_ends_every_session_of_that_person_at_that_provider(gate: Gate) -> None:
    ended = [gate.sign_in(ALICE, subject="alice-id"), gate.sign_in(ALICE, subject="alice-id", provider_session="s1")]
    kept = [gate.sign_in(ALICE, subject="alice-id", provider="other"), gate.sign_in(CAROL, subject="carol-id")]
    answer = post(gate, mint(claims(), KEY, HEADER))
    assert (answer.status, answer.json) == (200, {"sessions_ended": 2})
    assert "no-store" in (answer.header("Cache-Control") or "")
    assert [alive(gate, secret) for secret in (*ended, *kept)] == [False, False, True, True]


def test_a_sign_out_of_one_of_the_providers_sessions_ends_ours_of_it(gate: Gate) -> None:
    ended = gate.sign_in(ALICE, subject="alice-id", provider_session="s1")
    kept = gate.sign_in(ALICE, subject="alice-id", provider_session="s2")
    unnamed = gate.sign_in(ALICE, subject="alice-id")
    assert post(gate, mint(claims(sid="s1"), KEY, HEADER)).status == 200
    assert [alive(gate, secret) for secret in (ended, kept, unnamed)] == [False, True, False]


def test_a_sid_alone_is_enough(gate: Gate) -> None:
    ended = gate.sign_in(ALICE, subject="alice-id", provider_session="s1")
    kept = gate.sign_in(ALICE, subject="alice-id")
    assert post(gate, mint(claims(sub=None, sid="s1"), KEY, HEADER)).status == 200
    assert [alive(gate, secret) for secret in (ended, kept)] == [False, True]


def test_access_tokens_end_with_the_rest(gate: Gate) -> None:
    token = gate.sign_in(ALICE, subject="alice-id", kind="api")
    assert post(gate, mint(claims(), KEY, HEADER)).status == 200
    assert gate.ask("/page", headers={**SCRIPT, "Authorization": f"Bearer {token}"}).status == 401


def test_where_ids_are_addresses_the_sub_of_the_sign_in_counts_too(make: Callable[..., Gate]) -> None:
    gate = make()
    mapped = {**PROVIDERS["corporate"], "mapping": {"id": "email"}}
    gate.core.provider_store.apply({"corporate": mapped}, actor="test")
    ended = gate.sign_in(ALICE, subject=ALICE.email, claims={"sub": "alice-id"})
    kept = gate.sign_in(CAROL, subject=CAROL.email, claims={"sub": "carol-id"})
    assert post(gate, mint(claims(), KEY, HEADER)).status == 200
    assert [alive(gate, secret) for secret in (ended, kept)] == [False, True]


def test_a_person_may_be_named_by_address_without_case(gate: Gate) -> None:
    ended = gate.sign_in(ALICE, subject=ALICE.email)
    assert post(gate, mint(claims(sub=None, email="Alice@Example.COM"), KEY, HEADER)).status == 200
    assert not alive(gate, ended)


def test_a_token_that_ends_nothing_is_heeded_and_says_that_it_ended_nothing(gate: Gate) -> None:
    answer = post(gate, mint(claims(sub="nobody"), KEY, HEADER))
    assert (answer.status, answer.json) == (200, {"sessions_ended": 0})


NUMBERED = {**PROVIDERS["corporate"], "mapping": {"id": ["employee", "email"], "email": "email"}}


def test_an_address_names_the_person_where_the_claim_that_ids_are_made_of_is_missing(
    make: Callable[..., Gate],
) -> None:
    gate = make()
    gate.core.provider_store.apply({**PROVIDERS, "corporate": NUMBERED}, actor="test")
    ended = gate.sign_in(ALICE, subject="4711", claims={"employee": 4711, "email": ALICE.email})
    kept = [
        gate.sign_in(ALICE, subject="4711", provider="other", claims={"email": ALICE.email}),
        gate.sign_in(CAROL, subject="4712", claims={"employee": 4712, "email": CAROL.email}),
    ]
    answer = post(gate, mint(claims(email=ALICE.email.upper(), sid="unknown-here"), KEY, HEADER))
    assert answer.json == {"sessions_ended": 1}
    assert [alive(gate, secret) for secret in (ended, *kept)] == [False, True, True]


def test_attack_a_person_who_gets_the_address_of_another_does_not_sign_that_person_out(
    make: Callable[..., Gate],
) -> None:
    gate = make()
    gate.core.provider_store.apply({"corporate": NUMBERED}, actor="test")
    secret = gate.sign_in(ALICE, subject="4711", claims={"employee": 4711, "sub": "alice-id", "email": ALICE.email})
    for names in ({"employee": "666"}, {"sub": "mallory-id"}, {"sub": "mallory-id", "employee": "666"}):
        same_address = claims(**{"sub": None, **names, "email": ALICE.email})
        assert post(gate, mint(same_address, KEY, HEADER)).json == {"sessions_ended": 0}
    assert alive(gate, secret)
    assert post(gate, mint(claims(email=ALICE.email), KEY, HEADER)).json == {"sessions_ended": 1}
    assert not alive(gate, secret)


def test_attack_ids_inside_an_object_contradict_too(make: Callable[..., Gate]) -> None:
    gate = make()
    nested = {**NUMBERED, "mapping": {"id": ["employee", "staff.number"], "email": "email"}}
    gate.core.provider_store.apply({"corporate": nested}, actor="test")
    said = {"employee": "x", "staff": {"number": 4711}, "email": ALICE.email}
    secret = gate.sign_in(ALICE, subject="x", claims=said)
    other = claims(sub=None, email=ALICE.email, staff={"number": "666"})
    assert post(gate, mint(other, KEY, HEADER)).json == {"sessions_ended": 0}
    same = claims(sub=None, email=ALICE.email, staff={"number": "4711"})
    assert post(gate, mint(same, KEY, HEADER)).json == {"sessions_ended": 1}
    assert not alive(gate, secret)


@pytest.mark.parametrize("typ", [None, "JWT", "at+jwt"])
def test_attack_a_token_that_is_not_typed_signs_nobody_out_by_an_address(gate: Gate, typ: str | None) -> None:
    secret = gate.sign_in(ALICE, subject=ALICE.email, claims={"email": ALICE.email})
    header = {"alg": "HS256"} | ({"typ": typ} if typ else {})
    token = mint(claims(sub=None, email=ALICE.email), KEY, header)
    assert post(gate, token).json["error"] == "token_type_wrong"
    assert front(gate, token, secret).status == 401
    assert alive(gate, secret)


@pytest.mark.parametrize("typ", ["logout+jwt", "LOGOUT+JWT", "application/logout+jwt"])
def test_the_type_is_compared_without_case(gate: Gate, typ: str) -> None:
    assert post(gate, mint(claims(), KEY, {**HEADER, "typ": typ})).status == 200


@pytest.mark.parametrize(
    ("change", "header", "code"),
    [
        ({}, {"alg": "HS256", "typ": "JWT"}, "token_type_wrong"),
        ({}, {"alg": "HS256"}, "token_type_wrong"),
        ({}, {"alg": "HS256", "typ": "at+jwt"}, "token_type_wrong"),
        ({}, {"alg": "none", "typ": "logout+jwt"}, "algorithm_not_allowed"),
        ({"events": None}, HEADER, "claim_missing"),
        ({"events": {}}, HEADER, "claim_invalid"),
        ({"events": EVENT}, HEADER, "claim_invalid"),
        ({"events": [EVENT]}, HEADER, "claim_invalid"),
        ({"events": {EVENT: True}}, HEADER, "claim_invalid"),
        ({"events": {"other": {}}}, HEADER, "claim_invalid"),
        ({"nonce": "n"}, HEADER, "claim_invalid"),
        ({"nonce": ""}, HEADER, "claim_invalid"),
        ({"iat": None}, HEADER, "claim_missing"),
        ({"exp": None}, HEADER, "claim_missing"),
        ({"jti": None}, HEADER, "claim_missing"),
        ({"jti": "x" * 1000}, HEADER, "claim_invalid"),
        ({"sub": None}, HEADER, "claim_missing"),
        ({"sub": 7}, HEADER, "claim_invalid"),
        ({"sid": 7}, HEADER, "claim_invalid"),
        ({"sid": ""}, HEADER, "claim_invalid"),
        ({"iss": None}, HEADER, "issuer_mismatch"),
        ({"iss": "https://evil.example"}, HEADER, "issuer_mismatch"),
        ({"iss": URL}, HEADER, "issuer_mismatch"),
        ({"aud": None}, HEADER, "audience_mismatch"),
        ({"aud": "https://other.example"}, HEADER, "audience_mismatch"),
        ({"exp": 1}, HEADER, "token_expired"),
        ({"exp": int(time.time()) - 3600, "iat": int(time.time()) - 3700}, HEADER, "token_expired"),
        ({"iat": int(time.time()) - 3600}, HEADER, "token_too_old"),
        ({"iat": int(time.time()) + 3600, "exp": int(time.time()) + 3700}, HEADER, "token_not_yet_valid"),
        ({"nbf": int(time.time()) + 3600}, HEADER, "token_not_yet_valid"),
    ],
)
def test_any_other_token_signs_nobody_out(
    gate: Gate, change: dict[str, Any], header: dict[str, str], code: str
) -> None:
    secret = gate.sign_in(ALICE, subject="alice-id")
    answer = post(gate, mint(claims(**change), KEY, header))
    assert (answer.status, answer.json["error"]) == (400, code)
    assert answer.json["reference"]
    assert "no-store" in (answer.header("Cache-Control") or "")
    assert alive(gate, secret)


def test_a_sign_in_token_signs_nobody_out(gate: Gate) -> None:
    secret = gate.sign_in(ALICE, subject="alice-id")
    sign_in = mint(claims(events=None, email=ALICE.email, nonce="n"), KEY)
    assert post(gate, sign_in).json["error"] == "token_type_wrong"
    assert gate.ask("/sso/logout/jwt", headers=PAGE, query=urlencode({"jwt": sign_in}), secret=secret).status == 401
    assert alive(gate, secret)


def test_a_sign_out_token_signs_nobody_in(gate: Gate) -> None:
    token = mint(claims(email=ALICE.email), KEY, HEADER)
    answer = gate.ask("/sso/login/jwt", headers=PAGE, query=urlencode({"jwt": token}))
    assert "code=token_type_wrong" in (answer.header("Location") or "")


def test_a_token_is_heeded_once(gate: Gate) -> None:
    token = mint(claims(), KEY, HEADER)
    assert post(gate, token).status == 200
    again = gate.sign_in(ALICE, subject="alice-id")
    assert post(gate, token).json["error"] == "token_replayed"
    assert alive(gate, again)


def test_a_refused_token_is_not_spent(gate: Gate) -> None:
    same = claims()
    assert post(gate, mint({**same, "nonce": "n"}, KEY, HEADER)).status == 400
    assert post(gate, mint(same, KEY, HEADER)).status == 200


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "a.b.c.d.e"])
def test_what_is_no_token_is_400(gate: Gate, token: str) -> None:
    assert post(gate, token).status == 400


def test_exactly_one_token_is_expected(gate: Gate) -> None:
    token = mint(claims(), KEY, HEADER)
    body = urlencode([("logout_token", token), ("logout_token", token)]).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert gate.ask("/sso/logout/backchannel", "POST", headers, body=body).status == 400
    assert gate.ask("/sso/logout/backchannel", "POST", query=urlencode({"logout_token": token})).status == 400
    assert gate.ask("/sso/logout/backchannel", "GET", query=urlencode({"logout_token": token})).status == 405
    assert post(gate, token).status == 200


def test_a_key_of_another_provider_signs_out_nobody_here(gate: Gate) -> None:
    secret = gate.sign_in(ALICE, subject="alice-id")
    assert post(gate, mint(claims(), OTHER_KEY, HEADER)).status == 200  # heeded as the other provider's word
    assert alive(gate, secret)
    assert post(gate, mint(claims(), "z" * 48, HEADER)).json["error"] == "signature_invalid"


def test_a_disabled_provider_is_not_heeded(gate: Gate) -> None:
    gate.core.provider_store.apply({"corporate": {**PROVIDERS["corporate"], "enabled": False}}, actor="test")
    assert post(gate, mint(claims(), KEY, HEADER)).json["error"] == "signature_invalid"


def test_without_a_database_the_answer_is_400_and_nothing_is_spent(gate: Gate, monkeypatch: Any) -> None:
    from shared.errors import StoreUnavailable

    def down(*_arguments: object, **_more: object) -> None:
        raise StoreUnavailable

    token = mint(claims(), KEY, HEADER)
    secret = gate.sign_in(ALICE, subject="alice-id")
    with monkeypatch.context() as broken:
        broken.setattr(gate.core.sessions, "end_at_provider", down)
        assert post(gate, token).json["error"] == "store_unavailable"
    assert alive(gate, secret)
    assert post(gate, token).status == 200
    assert not alive(gate, secret)


def test_a_sign_out_and_a_refusal_are_in_the_activity_log_without_the_token(gate: Gate) -> None:
    from sqlalchemy import text

    token = mint(claims(), KEY, HEADER)
    post(gate, token)
    post(gate, token)
    with gate.core.database.engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM activity ORDER BY id")).all()
    assert [row.event for row in rows] == ["sign_out", "refused"]
    assert [row.code for row in rows] == [None, "token_replayed"]
    assert token not in repr(rows)


def front(gate: Gate, token: str, secret: str | None) -> Answer:
    return gate.ask("/sso/logout/jwt", headers=PAGE, query=urlencode({"jwt": token}), secret=secret)


def test_through_the_browser_the_session_of_that_browser_ends(gate: Gate) -> None:
    here, elsewhere = gate.sign_in(ALICE, subject="alice-id"), gate.sign_in(ALICE, subject="alice-id")
    answer = front(gate, mint(claims(), KEY, HEADER), here)
    assert answer.status == 200
    assert "You are signed out" in answer.text
    assert "sp_session=;" in (answer.header("Set-Cookie") or "")
    assert answer.header("Location") is None
    assert [alive(gate, here), alive(gate, elsewhere)] == [False, True]


def test_through_the_browser_nobody_else_is_signed_out(gate: Gate) -> None:
    secret = gate.sign_in(MALLORY, subject="mallory-id")
    answer = front(gate, mint(claims(), KEY, HEADER), secret)
    assert "still signed in" in answer.text
    assert MALLORY.email in answer.text
    assert answer.header("Set-Cookie") is None
    assert alive(gate, secret)


def test_a_browser_without_a_session_is_told_that_it_has_none(gate: Gate) -> None:
    token = mint(claims(), KEY, HEADER)
    for _ in range(2):  # the second time, the page is loaded again
        answer = front(gate, token, None)
        assert (answer.status, "You are signed out" in answer.text) == (200, True)


def test_a_spent_token_ends_no_later_session(gate: Gate) -> None:
    token = mint(claims(), KEY, HEADER)
    front(gate, token, gate.sign_in(ALICE, subject="alice-id"))
    later = gate.sign_in(ALICE, subject="alice-id")
    assert front(gate, token, later).status == 401
    assert alive(gate, later)


def test_looking_at_the_address_changes_nothing(gate: Gate) -> None:
    token, secret = mint(claims(), KEY, HEADER), gate.sign_in(ALICE, subject="alice-id")
    query = urlencode({"jwt": token})
    assert gate.ask("/sso/logout/jwt", "HEAD", PAGE, query=query, secret=secret).status == 200
    assert alive(gate, secret)
    assert front(gate, token, secret).status == 200
    assert not alive(gate, secret)


def test_a_refusal_through_the_browser_names_its_code_and_reference(gate: Gate) -> None:
    secret = gate.sign_in(ALICE, subject="alice-id")
    answer = front(gate, "x", secret)
    assert answer.status == 400
    assert "token_malformed" in answer.text
    assert "Reference" in answer.text
    assert alive(gate, secret)


def test_an_events_claim_may_be_left_out_through_the_browser_but_not_be_wrong(gate: Gate) -> None:
    secret = gate.sign_in(ALICE, subject="alice-id")
    assert front(gate, mint(claims(events={}), KEY, HEADER), secret).status == 401
    assert front(gate, mint(claims(events=None), KEY, HEADER), secret).status == 200
    assert not alive(gate, secret)


def test_the_token_that_we_send_out_is_not_taken_back(gate: Gate) -> None:
    """Reflection: with one secret for both directions, our own sign-out token comes back as the provider's word."""
    secret = gate.sign_in(ALICE, subject="alice-id")
    other = gate.sign_in(ALICE, subject="alice-id", provider="other")  # for which no issuer is expected
    for key in (KEY, OTHER_KEY):
        ours = claims(iss=URL, aud=None, email=ALICE.email)
        assert post(gate, mint(ours, key, HEADER)).json["error"] == "issuer_mismatch"
    assert alive(gate, secret)
    assert alive(gate, other)
