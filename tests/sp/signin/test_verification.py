"""Each check decides to the second and to the letter, and says what it found."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from lab.forging import forge, key_for
from shared.claims import Claims, find_claim
from shared.errors import ClaimInvalid, ClaimMissing, NonceMismatch, Rejection, TokenMalformed
from shared.keys import load_key_set
from sp.providers.provider import Provider
from sp.providers.settings_parser import parse_provider
from sp.signin.verification import (
    CHECKS,
    MOST_NAMES,
    REMEMBERED_LONGER,
    STRICT_CHECKS,
    Received,
    Verified,
    acceptable_until,
    check_nonce,
    checks_of,
    is_plain_email,
    token_key,
    verify,
)

NOW = 1_700_000_000
KEYS = load_key_set([key_for("HS256").secret], "HS256")
EXPECTED = {"expected": "x", "match": True, "required": True}
STRICT_SETTINGS: dict[str, Any] = {
    "preset": "strict",
    "issuer": EXPECTED,
    "audience": EXPECTED,
    "required_claims": ["iat", "jti"],
}
CLAIMS: dict[str, Any] = {
    "iss": "x",
    "aud": "x",
    "sub": "alice",
    "iat": NOW,
    "exp": NOW + 60,
    "jti": "j",
    "email": "alice@example.com",
}


def provider(**settings: Any) -> Provider:
    """Return a provider that skews by 10 seconds, with *settings*."""
    return parse_provider("corporate", {"clock_skew": 10, "max_age": 100, **settings})


def token(header: dict[str, Any] | None = None, /, **claims: Any) -> str:
    """Return a good token with *claims* set; None leaves one out."""
    payload = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return forge({"typ": "JWT", "alg": "HS256", **(header or {})}, payload, key_for("HS256").sign)


def code(text: str, provider: Provider, now: float = NOW) -> str:
    """Return the code with which the token is refused, or an empty text."""
    try:
        verify(text, provider, KEYS, now)
    except Rejection as rejection:
        return rejection.code
    return ""


def detail(text: str, provider: Provider, now: float = NOW) -> tuple[str | None, str]:
    """Return the claim at fault and the detail of the refusal."""
    with pytest.raises(Rejection) as refused:
        verify(text, provider, KEYS, now)
    return refused.value.claim, refused.value.detail


def test_a_verified_token_gives_its_claims_and_the_key_that_signed_it() -> None:
    verified = verify(token(), provider(), KEYS, NOW)
    assert verified.claims == Claims.parse(CLAIMS)
    assert verified.key is KEYS.keys[0]


def test_a_verified_token_says_when_it_came_how_long_it_was_and_what_its_header_was() -> None:
    text = token()
    verified = verify(text, provider(), KEYS, NOW)
    assert verified.checked_at == NOW
    assert verified.received == Received(len(text), {"typ": "JWT", "alg": "HS256"}, timed=None)
    assert verified.timed(3, 5).received == Received(len(text), {"typ": "JWT", "alg": "HS256"}, timed=(3, 5))
    of_earlier = Verified.of(verified.claims, verified.key, provider(), NOW)
    assert of_earlier.received is of_earlier.timed(3, 5).received is None


def test_a_token_is_spent_under_16_bytes_of_a_hash_of_provider_and_jti_with_any_letters() -> None:
    assert verify(token(), provider(), KEYS, NOW).token_key == token_key("corporate", "j")
    assert token_key("corporate", "j").hex() == hashlib.sha256(b"corporate\0j").hexdigest()[:32]
    different = [
        ("corporate", "j"),
        ("other", "j"),
        ("corporate", "k"),
        ("corporate", "\ud800"),
        ("corporate", "\ud801"),
    ]
    assert len({token_key(*one) for one in different}) == len(different)


# --- Time ---


@pytest.mark.parametrize(
    ("settings", "claims", "last_second", "refused_as"),
    [
        ({}, {}, NOW + 60 + 10, "token_expired"),
        ({"expiry_adjustment": 20}, {}, NOW + 60 + 10 + 20, "token_expired"),
        ({"expiry_adjustment": -20}, {}, NOW + 60 + 10 - 20, "token_expired"),
        ({"clock_skew": 0}, {}, NOW + 60, "token_expired"),
        ({}, {"exp": NOW + 60.5}, NOW + 70.5, "token_expired"),
    ],
)
def test_a_token_is_good_until_just_before_its_last_second(
    settings: dict[str, Any], claims: dict[str, Any], last_second: float, refused_as: str
) -> None:
    """RFC 7519, section 4.1.4: on or after exp it is not accepted."""
    text, trusted = token(**claims), provider(**settings)
    assert code(text, trusted, last_second - 0.001) == ""
    assert code(text, trusted, last_second) == refused_as


@pytest.mark.parametrize("claims", [{"exp": None}, {"exp": NOW + 10_000}])
def test_a_token_grows_no_older_than_max_age_and_the_skew(claims: dict[str, Any]) -> None:
    text, trusted = token(**claims), provider(required_claims=["iat"])
    assert code(text, trusted, NOW + 110) == ""
    assert code(text, trusted, NOW + 110.001) == "token_too_old"
    assert detail(text, trusted, NOW + 200)[1] == "the token was issued 200 seconds ago; at most 100 are allowed"


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_a_token_of_the_future_is_good_within_the_skew(claim: str) -> None:
    text, trusted = token(**{claim: NOW, "exp": NOW + 90}), provider()
    assert code(text, trusted, NOW - 10) == ""
    assert code(text, trusted, NOW - 10.001) == "token_not_yet_valid"
    late = token(**{claim: NOW + 45})
    assert detail(late, trusted)[1] == f"{claim} is 45 seconds in the future: the clocks differ"


def test_an_expired_token_is_told_by_how_much() -> None:
    found = detail(token(exp=NOW - 100, iat=NOW - 150), provider(max_age=1000))
    assert found == (None, "the token expired 100 seconds ago, by this server's clock")


def test_exp_may_be_iat_and_never_before_it() -> None:
    assert code(token(exp=NOW), provider()) == ""
    assert detail(token(exp=NOW - 1), provider()) == ("exp", "exp is before iat")
    assert code(token(exp=NOW - 10), provider()) == "token_expired"


def test_a_token_without_iat_lives_as_long_as_its_exp() -> None:
    trusted = provider(required_claims=["exp"])
    assert code(token(iat=None, exp=NOW + 5000), trusted) == ""
    assert code(token(iat=None), trusted, NOW + 70) == "token_expired"


def test_a_token_with_neither_iat_nor_exp_is_refused_even_by_a_provider_made_by_hand() -> None:
    by_hand = Provider("hand", required_claims=())
    expected = ("exp", "the token has neither exp nor iat, so it would never expire")
    assert detail(token(iat=None, exp=None), by_hand) == expected


@pytest.mark.parametrize(
    ("settings", "claims", "until"),
    [
        ({}, {"iat": NOW, "exp": NOW + 60}, NOW + 60),
        ({}, {"iat": NOW, "exp": NOW + 600}, NOW + 100),
        ({}, {"iat": NOW}, NOW + 100),
        ({"required_claims": ["exp"]}, {"exp": NOW + 600}, NOW + 600),
        ({"expiry_adjustment": 30}, {"iat": NOW, "exp": NOW + 60}, NOW + 90),
        ({"expiry_adjustment": -30, "required_claims": ["exp"]}, {"exp": NOW + 60.9}, NOW + 30),
    ],
)
def test_a_token_is_remembered_for_as_long_as_it_could_be_accepted_and_longer(
    settings: dict[str, Any], claims: dict[str, Any], until: int
) -> None:
    trusted = provider(**{"required_claims": ["iat"], **settings})
    remembered = acceptable_until(Claims.parse(claims), trusted)
    assert remembered == until + 10 + 1 + REMEMBERED_LONGER
    text = token(**{"iat": None, "exp": None, **claims})
    assert code(text, trusted, remembered - REMEMBERED_LONGER) in ("token_expired", "token_too_old")
    assert REMEMBERED_LONGER >= 300


# --- Presence ---


@pytest.mark.parametrize(
    ("sent_as", "hint"),
    [
        ("IAT", "; the token has IAT, but names of claims are in lower case"),
        ("Iat", "; the token has Iat, but names of claims are in lower case"),
        ("і\u0430\u0442", "; the token has it with letters of another alphabet, which look the same"),
        ("ia\u0442", "; the token has it with letters of another alphabet, which look the same"),
        ("IA\u0422", "; the token has it with letters of another alphabet, which look the same"),
        ("issued_at", ""),
    ],
)
def test_a_missing_claim_is_named_with_the_near_miss(sent_as: str, hint: str) -> None:
    found = detail(token(**{"iat": None, sent_as: NOW}), provider())
    assert found == ("iat", f"the claim iat is required and missing{hint}")


def test_an_empty_or_null_claim_is_a_missing_one_without_a_hint() -> None:
    trusted = provider(required_claims=["iat", "department", "address.city"])
    base: dict[str, Any] = {"department": "it", "address": {"city": "Oslo"}}
    assert code(token(**base), trusted) == ""
    assert code(token(**base, **{"address.city": "Bergen"}), trusted) == ""
    absent: list[dict[str, Any]] = [
        {"department": ""},
        {"address": {"city": None}},
        {"address": {}},
        {"address": "Oslo"},
    ]
    for change in absent:
        assert code(token(**base | change), trusted) == "claim_missing"
    assert detail(token(**base | {"department": ""}), trusted)[1] == "the claim department is required and missing"
    values: tuple[Any, ...] = (0, False, [], {})
    for present in values:
        assert code(token(**base | {"department": present}), trusted) == ""


def test_a_jti_is_required_even_by_a_provider_made_by_hand() -> None:
    by_hand = Provider("hand", required_claims=("iat",))
    assert detail(token(jti=None), by_hand) == ("jti", "without a jti the token could be used twice")
    assert code(token(jti="j" * 512), by_hand) == ""
    assert detail(token(jti="j" * 513), by_hand) == ("jti", "jti is longer than 512 characters")


def test_a_required_nonce_is_the_affair_of_the_browser() -> None:
    assert code(token(), provider(required_claims=["iat", "nonce"])) == ""


# --- Issuer and audience ---


@pytest.mark.parametrize("claim", ["iss", "aud"])
@pytest.mark.parametrize(
    ("expectation", "absent", "right", "wrong"),
    [
        ({"expected": "", "match": True, "required": False}, True, True, True),
        ({"expected": "", "match": True, "required": True}, False, True, True),
        ({"expected": "x", "match": True, "required": False}, True, True, False),
        ({"expected": "x", "match": True, "required": True}, False, True, False),
        ({"expected": "x", "match": False, "required": False}, True, True, True),
        ({"expected": "x", "match": False, "required": True}, False, True, True),
    ],
)
def test_expected_value_match_and_mandatory_do_what_their_names_say(
    claim: str, expectation: dict[str, Any], absent: bool, right: bool, wrong: bool
) -> None:
    trusted = provider(**{"issuer" if claim == "iss" else "audience": expectation})
    mismatch = {"iss": "issuer_mismatch", "aud": "audience_mismatch"}[claim]
    assert code(token(**{claim: None}), trusted) == ("" if absent else "claim_missing")
    assert code(token(**{claim: "x"}), trusted) == ("" if right else mismatch)
    assert code(token(**{claim: "y"}), trusted) == ("" if wrong else mismatch)


def test_a_mismatch_shows_both_values_cut_to_a_hundred_characters() -> None:
    trusted = provider(issuer=EXPECTED, audience=EXPECTED)
    assert detail(token(iss="y" * 200), trusted)[1] == f"iss is {'y' * 100}, expected: x"
    assert detail(token(aud=["y", "z" * 200]), trusted)[1] == f"aud is y {'z' * 98}, expected: x"
    assert detail(token(iss=None), trusted) == ("iss", "the claim iss is required and missing")
    assert detail(token(aud=None), trusted) == ("aud", "the claim aud is required and missing")


# --- Type ---


def test_a_wrong_type_is_named_cut_to_forty_characters() -> None:
    why = f"the token has the type {'x' * 40}, but a sign-in token has the type JWT or none"
    assert detail(token({"typ": "x" * 60}), provider())[1] == why
    assert detail(token(events={}), provider())[1] == "the token has the claim events: it is a sign-out token"


# --- Strict ---


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"azp": "y"}, (None, "azp names another party")),
        ({"scope": "a"}, (None, "the claim scope belongs to another kind of token")),
        ({"client_id": "a"}, (None, "the claim client_id belongs to another kind of token")),
        ({"purpose": "a"}, (None, "the claim purpose belongs to another kind of token")),
        ({"exp": NOW + 101}, ("exp", "exp is more than 100 seconds after iat")),
        ({"email": "a@b"}, ("email", "email must be one plain ASCII e-mail address with a dotted domain")),
        ({"email_verified": False}, ("email_verified", "email_verified is not true")),
        ({"given_name": "a\u200b"}, ("given_name", "given_name has control or format characters")),
    ],
)
def test_strict_refuses_with_the_reason(change: dict[str, Any], expected: tuple[str | None, str]) -> None:
    strict = provider(**STRICT_SETTINGS)
    assert code(token(), strict) == ""
    assert detail(token(**change), strict) == expected
    assert code(token(**change), provider(issuer=EXPECTED, audience=EXPECTED)) == ""  # what others let pass


def test_strict_names_the_surplus_members_of_a_header() -> None:
    strict = provider(**STRICT_SETTINGS)
    surplus = detail(token({"zip": "DEF", "jku": "x"}), strict)
    assert surplus == (None, "the header has members other than alg, typ and kid: jku, zip")
    assert detail(token({"x" * 300: 1}), strict)[1].endswith("kid: " + "x" * 100)
    assert code(token({"kid": "any"}), strict) == ""  # a secret has no name


def test_strict_wants_the_kid_of_a_key_that_has_one() -> None:
    strict = provider(**STRICT_SETTINGS, algorithm="ES256")
    key = key_for("ES256")
    keys = load_key_set([json.dumps(key.jwk(kid="a"))], "ES256")
    verify(forge({"alg": "ES256", "kid": "a"}, CLAIMS, key.sign), strict, keys, NOW)
    with pytest.raises(TokenMalformed, match=r"^token_malformed: the header has no kid, but the key has one$"):
        verify(forge({"alg": "ES256"}, CLAIMS, key.sign), strict, keys, NOW)


def test_strict_without_an_expected_audience_takes_azp_for_one_of_the_audience() -> None:
    open_to_all = provider(**STRICT_SETTINGS | {"audience": {"expected": "", "match": True, "required": True}})
    assert code(token(aud=["b"], azp="b"), open_to_all) == ""
    assert code(token(aud=["b"], azp="c"), open_to_all) == "token_type_wrong"


def test_strict_bounds_the_lifetime_only_where_both_ends_are_known() -> None:
    strict = provider(**STRICT_SETTINGS | {"required_claims": ["exp"]})
    assert code(token(exp=NOW + 100), strict) == ""
    assert code(token(iat=None, exp=NOW + 5000), strict) == ""
    assert code(token(exp=None), provider(**STRICT_SETTINGS)) == ""


def test_strict_looks_into_every_mapped_claim() -> None:
    strict = provider(**STRICT_SETTINGS, mapping={"unit": ["organisation.unit", "unit"], "tags": "tags"})
    hidden = "a\u202eb"
    bad: list[dict[str, Any]] = [
        {"organisation": {"unit": hidden}},
        {"unit": hidden},
        {"organisation.unit": hidden},
        {"tags": [["fine", hidden]]},
        {"tags": [hidden, ["fine"]]},
        {"tags": [hidden, {"name": "fine"}]},
        {"tags": {hidden: 1}},
        {"tags": {"fine": {"name": hidden}}},
    ]
    fine: list[dict[str, Any]] = [{"tags": [1, None, "fine", {"a": "b"}]}, {"other": hidden}, {"unit": "Ünï\u00a0t"}]
    assert [code(token(**change), strict) for change in bad] == ["claim_invalid"] * len(bad)
    assert [code(token(**change), strict) for change in fine] == [""] * len(fine)


def test_strict_adds_to_the_checks_and_takes_none_away() -> None:
    assert checks_of(provider()) == CHECKS
    assert checks_of(provider(**STRICT_SETTINGS)) == STRICT_CHECKS
    assert STRICT_CHECKS[: len(CHECKS)] == CHECKS


# --- Nonce ---


@pytest.mark.parametrize(
    ("settings", "nonce", "given", "fits"),
    [
        ({}, None, (), True),
        ({}, None, ("n",), True),
        ({}, "n", ("m", "n"), True),
        ({}, "n", ("m",), False),
        ({}, "n", (), False),
        ({"require_nonce": True}, "n", ("n",), True),
        ({"require_nonce": True}, None, ("n",), False),
        ({"required_claims": ["iat", "nonce"]}, None, ("n",), False),
    ],
)
def test_a_nonce_is_one_that_this_browser_was_given(
    settings: dict[str, Any], nonce: str | None, given: tuple[str, ...], fits: bool
) -> None:
    claims = Claims.parse({"nonce": nonce} if nonce else {})
    if fits:
        check_nonce(claims, provider(**settings), frozenset(given))
        return
    with pytest.raises(NonceMismatch) as refused:
        check_nonce(claims, provider(**settings), frozenset(given))
    missing, foreign = "is required and missing", "does not belong to a sign-in that this browser started"
    assert refused.value.claim == "nonce"
    assert refused.value.detail == (f"the nonce {foreign}" if nonce else f"the claim nonce {missing}")


# --- Small parts ---


@pytest.mark.parametrize("email", ["a@b.c", "a+b@c-d.example", "!#$@x.y.z", "a" * 250 + "@b.c", "A@B.C", "a@1.2"])
def test_a_plain_address_is_known_as_one(email: str) -> None:
    assert is_plain_email(email)


NO_EMAIL: tuple[Any, ...] = (
    *("", "a", "@", "a@b", "a@b.", "a@.b", "a@b..c", "a@@b.c", "a@b.c@d.e", "a b@c.d", "a@b.c ", "a@b.c\n", "\na@b.c"),
    *("ü@b.c", "a@b.ç", "a" * 251 + "@b.c", "a\x7f@b.c", None, 7, ["a@b.c"]),
)


@pytest.mark.parametrize("email", NO_EMAIL)
def test_anything_else_is_no_plain_address(email: Any) -> None:
    assert not is_plain_email(email)


def test_a_claim_is_found_by_its_own_name_first_and_then_inside_objects() -> None:
    raw = {"a": {"b": {"c": 1}, "d": None}, "a.d": 2, "e": [1]}
    assert find_claim(raw, "a.b.c") == 1
    assert find_claim(raw, "a.d") == 2
    assert find_claim(raw, "a.b") == {"c": 1}
    for absent in ("x", "a.x", "a.b.c.d", "e.0", ""):
        assert find_claim(raw, absent) is None


@pytest.mark.parametrize("make", [lambda: token(email=None), lambda: token(exp="soon")])
def test_a_refusal_names_its_claim(make: Callable[[], str]) -> None:
    with pytest.raises((ClaimMissing, ClaimInvalid)) as refused:
        verify(make(), provider(required_claims=["iat", "email"]), KEYS, NOW)
    assert refused.value.claim in ("email", "exp")


# --- What a refusal says ---


def test_strict_says_how_many_recipients_a_token_has() -> None:
    two = token(aud=["x", "y"], exp=NOW + 60, nbf=NOW)
    assert detail(two, provider(**STRICT_SETTINGS)) == (
        None,
        "aud names 2 recipients; the gateway must be the only one",
    )


@pytest.mark.parametrize(("others", "is_named"), [(MOST_NAMES - 6, True), (MOST_NAMES - 5, False)])
def test_attack_many_names_of_claims_are_not_all_compared_with_a_missing_one(others: int, is_named: bool) -> None:
    names = {f"x{number:02}": number for number in range(others)}  # beside iss, aud, sub, iat and jti
    without = token(exp=None, **names, EXP=NOW + 60)
    _claim, said = detail(without, provider(required_claims=["exp", "jti"]))
    assert ("EXP" in said) is is_named
