"""What marks a sign-out token: one rule for the program that makes it and the one that reads it."""

from __future__ import annotations

from typing import Any

import pytest

from shared.claims import Claims
from shared.errors import ClaimInvalid, ClaimMissing, Rejection, TokenExpired, TokenNotYetValid, TokenTooOld
from shared.errors import TokenTypeWrong as WrongType
from shared.keys import load_key, load_key_set
from shared.logout_tokens import LOGOUT_EVENT, check_clock, check_event, check_type, make_sign_out_token
from shared.tokens import open_signed, sign

KEY = "a key of forty-eight characters, for tests only!"
NOW = 1_700_000_000
SKEW, MAX_AGE = 60, 300


def made(named: dict[str, Any] | None = None, **change: Any) -> tuple[Any, Claims]:
    arguments: dict[str, Any] = {"issuer": "https://gate.example", "token_id": "t1", "now": NOW, "lifetime": 120}
    token = make_sign_out_token(
        {"sub": "alice"} if named is None else named, load_key(KEY, "HS256"), **arguments | change
    )
    opened = open_signed(token, load_key_set([KEY], "HS256"), "HS256")
    return opened.header, Claims.parse(opened.payload)


def changed(**change: Any) -> Claims:
    raw = {**made()[1].raw, **change}
    return Claims.parse({name: value for name, value in raw.items() if value is not None})


def test_what_is_made_passes_every_check() -> None:
    header, claims = made(audience="https://idp.example")
    check_type(header)
    check_event(claims, required=True)
    check_clock(claims, NOW, clock_skew=0, max_age=0)
    assert claims.raw == {
        "sub": "alice",
        "iss": "https://gate.example",
        "aud": "https://idp.example",
        "iat": NOW,
        "exp": NOW + 120,
        "jti": "t1",
        "events": {LOGOUT_EVENT: {}},
    }


def test_without_an_audience_the_claim_is_absent() -> None:
    assert "aud" not in made()[1].raw


def test_attack_a_claim_that_names_the_person_replaces_what_makes_it_a_sign_out_token() -> None:
    named = {"sub": "alice", "events": {}, "iss": "https://mallory.example", "exp": NOW * 2, "iat": 0, "jti": "x"}
    assert made(named)[1].raw == made()[1].raw


@pytest.mark.parametrize(
    "typ", ["JWT", "", "at+jwt", "logout", "application/jwt", "application/application/logout+jwt"]
)
def test_attack_a_token_of_another_type_signs_out(typ: str) -> None:
    opened = open_signed(sign({}, load_key(KEY, "HS256"), typ=typ), load_key_set([KEY], "HS256"), "HS256")
    with pytest.raises(WrongType):
        check_type(opened.header)


def test_attack_a_token_without_a_type_signs_out() -> None:
    with pytest.raises(WrongType):
        check_type({"alg": "HS256"})


@pytest.mark.parametrize("typ", ["logout+jwt", "Logout+JWT", "application/logout+jwt"])
def test_a_type_has_several_spellings(typ: str) -> None:
    check_type({"typ": typ})  # RFC 7515, section 4.1.9; media types do not respect case


@pytest.mark.parametrize("events", ["text", [], {}, 0, {"other": {}}, {LOGOUT_EVENT: None}, {LOGOUT_EVENT: True}])
def test_an_event_that_is_not_a_sign_out_is_rejected(events: Any) -> None:
    with pytest.raises(ClaimInvalid):
        check_event(changed(events=events))


def test_the_event_may_be_missing_unless_it_is_required() -> None:
    check_event(changed(events=None))
    with pytest.raises(ClaimMissing):
        check_event(changed(events=None), required=True)


def test_attack_an_id_token_with_a_nonce_signs_out() -> None:
    with pytest.raises(ClaimInvalid):
        check_event(changed(nonce="n"))


@pytest.mark.parametrize(
    ("change", "now", "expected"),
    [
        ({}, NOW - SKEW, None),
        ({}, NOW - SKEW - 0.001, TokenNotYetValid),
        ({"nbf": NOW + 10}, NOW + 10 - SKEW, None),
        ({"nbf": NOW + 10}, NOW + 10 - SKEW - 0.001, TokenNotYetValid),
        ({}, NOW + 120 + SKEW - 0.001, None),
        ({}, NOW + 120 + SKEW, TokenExpired),
        ({"exp": NOW + 9000}, NOW + MAX_AGE + SKEW, None),
        ({"exp": NOW + 9000}, NOW + MAX_AGE + SKEW + 0.001, TokenTooOld),
        ({"exp": None}, NOW + MAX_AGE + SKEW, None),
        ({"exp": None}, NOW + MAX_AGE + SKEW + 0.001, TokenTooOld),
        ({"iat": None}, NOW, ClaimMissing),
        ({"iat": None, "exp": None}, NOW, ClaimMissing),
    ],
)
def test_the_clock_decides_to_the_millisecond(
    change: dict[str, Any], now: float, expected: type[Rejection] | None
) -> None:
    if expected is None:
        check_clock(changed(**change), now, clock_skew=SKEW, max_age=MAX_AGE)
        return
    with pytest.raises(expected):
        check_clock(changed(**change), now, clock_skew=SKEW, max_age=MAX_AGE)
