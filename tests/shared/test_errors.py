"""Every code of docs/protocol.md is a class with a status, and none carries more than one printable line."""

import pytest

from shared.errors import REJECTIONS, ClaimInvalid, ClaimMissing, Rejection, TokenExpired

STATUSES = {
    400: "token_missing token_malformed delivery_not_allowed cookies_blocked",
    401: "token_type_wrong algorithm_not_allowed signature_invalid claim_missing claim_invalid token_expired "
    "token_not_yet_valid token_too_old issuer_mismatch audience_mismatch nonce_mismatch unsolicited token_replayed "
    "ticket_invalid",
    403: "user_unknown user_disabled email_conflict email_not_allowed seat_limit_reached provider_disabled",
    404: "provider_unknown",
    429: "rate_limited",
    503: "key_unavailable store_unavailable",
}


def test_the_codes_and_their_statuses_are_those_of_the_protocol() -> None:
    wanted = {code: status for status, codes in STATUSES.items() for code in codes.split()}
    assert {code: rejection.status for code, rejection in REJECTIONS.items()} == wanted


@pytest.mark.parametrize("rejection", REJECTIONS.values(), ids=REJECTIONS)
def test_every_code_tells_a_person_what_happened_and_what_to_do(rejection: type[Rejection]) -> None:
    assert rejection.explanation != Rejection.explanation
    assert rejection.explanation.endswith(".")
    assert rejection.remedy.endswith(".")
    assert rejection().detail == rejection.explanation


def test_the_text_of_an_error_names_code_and_detail() -> None:
    assert str(TokenExpired("an hour ago")) == "token_expired: an hour ago"


def test_a_line_break_in_a_detail_does_not_end_the_line_of_a_log() -> None:
    rejection = ClaimInvalid("a\r\nFORGED line\x00\u2028", claim="x\ny")
    assert rejection.detail == "a??FORGED line??"
    assert rejection.claim == "x?y"
    assert str(rejection).isprintable()


def test_the_description_names_the_claim_once_and_is_plain_ascii() -> None:
    assert ClaimMissing("is required", claim="exp").description == "exp: is required"
    assert ClaimMissing("exp is required", claim="exp").description == "exp is required"
    assert TokenExpired("gone").description == "gone"
    assert ClaimInvalid('a "quoted" \\ ключ').description == "a 'quoted' ? ????"
