"""Registered claims are parsed once, into known types, and a wrong type is named."""

from typing import Any

import pytest

from shared.claims import LATEST_TIME, Claims
from shared.errors import ClaimInvalid

PAYLOAD: dict[str, Any] = {
    "iat": 1,
    "exp": 2.5,
    "nbf": 0,
    "jti": "j",
    "iss": "i",
    "sub": "s",
    "aud": "a",
    "nonce": "n",
    "email": "alice@example.com",
}


def test_every_registered_claim_has_a_name_of_its_own() -> None:
    claims = Claims.parse(PAYLOAD)
    assert claims == Claims(PAYLOAD, 1, 2.5, 0, "j", "i", "s", ("a",), "n")
    assert (claims.issued_at, claims.expires_at, claims.not_before) == (1, 2.5, 0)
    assert (claims.token_id, claims.issuer, claims.subject, claims.audience) == ("j", "i", "s", ("a",))
    assert (claims.nonce, claims.raw) == ("n", PAYLOAD)


def test_absent_claims_are_none_and_an_absent_audience_is_empty() -> None:
    assert Claims.parse({}) == Claims({}, None, None, None, None, None, None, (), None)


def test_an_audience_may_be_a_list() -> None:
    assert Claims.parse({"aud": ["a", "b"]}).audience == ("a", "b")


def test_a_whole_number_is_a_jti_only_where_that_is_allowed() -> None:
    assert Claims.parse({"jti": 12}, numeric_token_id=True).token_id == "12"
    assert Claims.parse({"jti": "a"}, numeric_token_id=True).token_id == "a"
    for payload in ({"jti": True}, {"jti": 1.0}, {"jti": None}):
        with pytest.raises(ClaimInvalid):
            Claims.parse(payload, numeric_token_id=True)
    with pytest.raises(ClaimInvalid):
        Claims.parse({"jti": 12})


def test_the_latest_time_is_a_time_and_the_next_second_is_milliseconds() -> None:
    assert Claims.parse({"exp": LATEST_TIME}).expires_at == 9_999_999_999
    with pytest.raises(ClaimInvalid):
        Claims.parse({"exp": LATEST_TIME + 1})


@pytest.mark.parametrize(
    ("claim", "value", "detail"),
    [
        ("iat", "1", "iat must be a number of seconds since 1970, not text"),
        ("exp", True, "exp must be a number of seconds since 1970, not true or false"),
        ("nbf", [1], "nbf must be a number of seconds since 1970, not a list"),
        ("nbf", {}, "nbf must be a number of seconds since 1970, not an object"),
        ("iat", None, "iat must not be null"),
        ("exp", 1700000000000, "exp is too large for seconds since 1970: it looks like milliseconds"),
        ("iat", -1, "iat must not be negative"),
        ("jti", 1, "jti must be text, not a number"),
        ("iss", 1.5, "iss must be text, not a number"),
        ("sub", "", "sub must not be empty"),
        ("nonce", None, "nonce must not be null"),
        ("aud", 1, "aud must be text, not a number"),
        ("aud", [], "aud must be text or a list of texts"),
        ("aud", ["a", ""], "aud must be text or a list of texts"),
        ("aud", ["a", 1], "aud must be text or a list of texts"),
    ],
)
def test_a_claim_of_a_wrong_type_is_named_with_what_it_should_be(claim: str, value: Any, detail: str) -> None:
    with pytest.raises(ClaimInvalid) as refused:
        Claims.parse({**PAYLOAD, claim: value})
    assert (refused.value.claim, refused.value.detail) == (claim, detail)
