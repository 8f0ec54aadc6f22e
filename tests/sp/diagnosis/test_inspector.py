"""The inspector runs all checks, and names the errors that published samples make."""

import json
import time
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

import pytest

from lab.minting import mint, sign_text
from shared.errors import Rejection
from shared.keys import KeySet, generate_key, load_key_set
from shared.tokens import SIGN_OUT_TYPE, sign
from sp.accounts.provisioning import read_profile
from sp.diagnosis.inspector import Finding, inspect, passes
from sp.providers.provider import Provider
from sp.providers.settings_parser import parse_provider
from sp.signin.verification import checks_of, verify

NOW = int(time.time())
SECRET = b64encode(b"a secret of the cast, long enough for SHA-256").decode()
KEYS = load_key_set([SECRET], "HS256")
PROVIDER = parse_provider("corporate", {"email_domains": ["example.com"]})
STRICT = parse_provider(
    "strict",
    {
        "preset": "strict",
        "issuer": {"expected": "https://idp.example.com", "required": True},
        "audience": {"expected": "https://sp.example.com", "required": True},
    },
)
CLAIMS = {"iat": NOW, "jti": "f4as6d5f4as6d54fasd6df4", "exp": NOW + 60, "email": "alice@example.com"}
STRICT_CLAIMS = CLAIMS | {
    "iss": "https://idp.example.com",
    "aud": "https://sp.example.com",
    "sub": "alice",
    "nbf": NOW,
    "nonce": "n",
}


def look(
    claims: Mapping[str, Any], *, provider: Provider = PROVIDER, key: str = SECRET, now: float = NOW
) -> list[Finding]:
    return inspect(mint(claims, key), provider, KEYS, now)


def failed(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.outcome == "failed"]


def only_failure(findings: list[Finding]) -> Finding:
    (finding,) = failed(findings)
    return finding


def without(name: str, /, **more: Any) -> dict[str, Any]:
    return {claim: value for claim, value in CLAIMS.items() if claim != name} | more


@pytest.mark.parametrize(("provider", "claims"), [(PROVIDER, CLAIMS), (STRICT, STRICT_CLAIMS)])
def test_a_good_token_passes_every_check(provider: Provider, claims: Mapping[str, Any]) -> None:
    findings = look(claims, provider=provider)
    assert failed(findings) == []
    assert passes(findings)
    assert {"form", "algorithm", "signature", "payload", "required", "expiry", "profile"} <= {f.check for f in findings}
    assert not any(finding.unverified for finding in findings)


def test_every_check_of_a_sign_in_is_among_the_findings() -> None:
    names = {check.__name__.removeprefix("check_") for check in checks_of(STRICT)}
    assert names <= {finding.check for finding in look(STRICT_CLAIMS, provider=STRICT)}


def test_no_explanation_contains_the_token_or_the_key() -> None:
    token = mint(without("iat"), SECRET)
    told = repr(inspect(token, PROVIDER, KEYS, NOW))
    assert token not in told
    assert token.rpartition(".")[2] not in told
    assert SECRET not in told


def test_claims_are_judged_though_the_signature_failed_and_are_marked_as_unverified() -> None:
    findings = look(CLAIMS | {"exp": NOW - 100, "iat": NOW - 160}, key="another secret, of another house entirely")
    assert {f.code for f in failed(findings)} == {"signature_invalid", "token_expired"}
    assert all(f.unverified for f in findings if f.check in ("payload", "expiry", "age", "profile"))
    assert not any(f.unverified for f in findings if f.check in ("form", "algorithm", "signature"))


def test_every_missing_claim_is_named_and_not_only_the_first() -> None:
    findings = failed(look({"nonce": "n"}))
    missing = " ".join(f.explanation for f in findings if f.check == "required")
    assert all(name in missing for name in ("iat", "jti", "exp", "email"))


def test_a_check_without_its_claim_is_skipped_and_not_passed() -> None:
    provider = parse_provider("z", {"preset": "zendesk"})
    findings = {f.check: f for f in look(without("exp", name="Alice"), provider=provider)}
    assert findings["expiry"].outcome == "skipped"


def test_a_claim_of_a_wrong_type_is_not_called_missing_as_well() -> None:
    findings = look(CLAIMS | {"exp": str(NOW + 60)})
    assert only_failure(findings).check == "claim_types"
    assert next(f for f in findings if f.check == "expiry").outcome == "skipped"


@pytest.mark.parametrize("claim", ["iss", "aud", "jti"])
def test_one_mistake_is_one_failure_even_where_several_checks_look_at_the_claim(claim: str) -> None:
    assert only_failure(look({**STRICT_CLAIMS, claim: 7}, provider=STRICT)).check == "claim_types"
    without_it = {name: value for name, value in STRICT_CLAIMS.items() if name != claim}
    assert only_failure(look(without_it, provider=STRICT)).check == "required"


def test_a_missing_key_is_told_and_the_rest_is_still_judged() -> None:
    findings = inspect(mint(CLAIMS, SECRET), PROVIDER, None, NOW)
    assert only_failure(findings).code == "key_unavailable"
    assert next(f for f in findings if f.check == "expiry").outcome == "passed"


@pytest.mark.parametrize(
    ("claims", "hint"),
    [
        (CLAIMS | {"iat": NOW * 1000, "exp": (NOW + 60) * 1000}, "milliseconds. Send "),
        (CLAIMS | {"exp": (NOW + 60) * 1_000_000}, "microseconds"),
        (CLAIMS | {"exp": str(NOW + 60)}, "without quotation marks"),
        (CLAIMS | {"exp": "2033-05-18T03:33:20+00:00"}, "in this case 2000000000"),
        (CLAIMS | {"exp": "next Tuesday"}, "date as a string"),
        (CLAIMS | {"exp": 10**4000}, "whole seconds"),
        (CLAIMS | {"exp": None}, "as a number"),
        (CLAIMS | {"jti": 12345}, "jti as a string"),
        (without("iat", IAT=NOW), "'IAT'"),
        (without("jti", JTI="f4as6d5f4as6d54fasd6df4"), "'JTI'"),
        (without("exp", **{"ехр": NOW + 60}), "Cyrillic"),
        (without("exp", **{"exp ": NOW + 60}), "without spaces"),
        (without("exp", **{"exp\u200b": NOW + 60}), "without spaces"),
        (without("exp", **{"": NOW + 60}), "empty"),
        (without("exp", expires_at=NOW + 60), "'expires_at'"),
        (without("email", mail="alice@example.com"), "'mail'"),
        (CLAIMS | {"iat": NOW + 45, "exp": NOW + 105}, "NTP"),
        (CLAIMS | {"iat": NOW + 7200, "exp": NOW + 7260}, "multiple of half an hour"),
        (CLAIMS | {"iat": NOW - 3600, "exp": NOW - 3540}, "multiple of half an hour"),
        (CLAIMS | {"iat": NOW - 500, "exp": NOW + 60}, "Stored tokens"),
        (CLAIMS | {"email": "alice@example.org"}, "email_domains"),
    ],
)
def test_a_mistake_in_the_claims_is_named(claims: Mapping[str, Any], hint: str) -> None:
    found = failed(look(claims))
    assert hint in " ".join(f"{f.explanation} {f.remedy}" for f in found)
    with pytest.raises(Rejection) as refusal:
        read_profile(verify(mint(claims, SECRET), PROVIDER, KEYS, NOW).claims, PROVIDER)
    assert found[0].code == refusal.value.code  # what a sign-in is refused with comes first


def test_a_fractional_time_is_allowed_with_advice() -> None:
    findings = look(CLAIMS | {"iat": NOW - 0.25})
    assert passes(findings)
    assert "fraction" in next(f for f in findings if f.outcome == "advice").explanation


@pytest.mark.parametrize(
    ("senders_key", "hint"),
    [
        (SECRET + "\n", "line break"),
        (SECRET + "\r\n", "Windows line break"),
        (f'"{SECRET}"', "quotation marks"),
        (SECRET[:-1], "without its last character"),
        (b64encode(SECRET.encode()).decode(), "encoded in base64"),
        (SECRET.encode().hex(), "encoded in hexadecimal"),
        (b64decode(SECRET).decode(), "decoded from base64"),
        ("another secret, of another house entirely", "different keys"),
    ],
)
def test_a_secret_that_was_taken_over_wrongly_is_recognised(senders_key: str, hint: str) -> None:
    finding = only_failure(look(CLAIMS, key=senders_key))
    assert finding.code == "signature_invalid"
    assert hint in finding.remedy


def test_no_mistaken_secret_is_ever_accepted() -> None:
    """The attack: a sender whose secret is only nearly ours signs someone in."""
    with pytest.raises(Rejection, match="signature_invalid"):
        verify(mint(CLAIMS, SECRET + "\n"), PROVIDER, KEYS, NOW)


def test_the_right_secret_under_another_algorithm_is_recognised() -> None:
    key = load_key_set([SECRET + SECRET], "HS512").keys[0]
    findings = inspect(sign(CLAIMS, key), PROVIDER, load_key_set([SECRET + SECRET], "HS256"), NOW)
    assert {f.code for f in failed(findings)} == {"algorithm_not_allowed", "signature_invalid"}
    assert any("as it is" in f.remedy for f in findings)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda token: f" {token}\n", "white space"),
        (lambda token: f"Bearer {token}", "Bearer"),
        (lambda token: f"https://sp.example.com/sso/login/jwt?jwt={token}", "whole URL"),
        (lambda token: token.replace(".", "%2E"), "percent-encoded"),
        (lambda token: f'"{token}"', "quotation marks"),
        (lambda token: token.rpartition(".")[0], "part is missing"),
        (lambda token: f"{token}.a.b", "encrypted"),
        (lambda token: f"{token}=", "padded"),
        (lambda token: "", "part is missing"),
        (lambda token: token[:1] + "+" + token[2:], "base64url"),
    ],
)
def test_a_token_of_another_form_is_explained(change: Any, hint: str) -> None:
    findings = inspect(change(mint(CLAIMS, SECRET)), PROVIDER, KEYS, NOW)
    form = next(f for f in findings if f.check == "form")
    assert form.code == "token_malformed"
    assert hint in form.remedy


def test_what_is_wrong_with_the_form_does_not_hide_what_is_wrong_with_the_claims() -> None:
    findings = inspect(mint(without("jti"), SECRET) + "=", PROVIDER, KEYS, NOW)
    assert {f.check for f in failed(findings)} == {"form", "required"}


def test_capitals_in_the_header_are_named() -> None:
    findings = inspect(mint(CLAIMS, SECRET, {"Type": "JWT", "ALG": "HS256"}), PROVIDER, KEYS, NOW)
    assert any("ALG; it must be alg" in f.remedy for f in failed(findings))
    assert any("Type; it must be typ" in f.remedy for f in failed(findings))


def test_an_unsigned_token_is_called_unsigned() -> None:
    token = mint(CLAIMS, SECRET, {"alg": "none"}).rpartition(".")[0] + "."
    findings = inspect(token, PROVIDER, KEYS, NOW)
    assert any("not signed at all" in f.remedy for f in failed(findings))


@pytest.mark.parametrize(
    ("payload", "hint"),
    [
        (json.dumps([CLAIMS]), "associative array"),
        (json.dumps(json.dumps(CLAIMS)), "twice"),
        (str(CLAIMS), "single quotes"),
        ("\ufeff" + json.dumps(CLAIMS), "byte order mark"),
        ('{"jti": "a", "jti": "b"}', "each name once"),
        ("alice@example.com", "JSON library"),
    ],
)
def test_a_payload_of_another_form_is_explained(payload: str, hint: str) -> None:
    findings = inspect(sign_text(payload, SECRET), PROVIDER, KEYS, NOW)
    assert hint in next(f for f in findings if f.check == "payload").remedy


def test_the_claims_inside_a_payload_that_is_a_list_are_judged() -> None:
    findings = inspect(sign_text(json.dumps([without("jti")]), SECRET), PROVIDER, KEYS, NOW)
    assert {f.check for f in failed(findings)} == {"payload", "required"}


def test_a_sign_out_token_is_told_from_a_sign_in_token() -> None:
    findings = inspect(sign(CLAIMS | {"events": {}}, KEYS.keys[0], typ=SIGN_OUT_TYPE), PROVIDER, KEYS, NOW)
    assert only_failure(findings).code == "token_type_wrong"


def test_a_kid_that_no_key_has_is_named() -> None:
    provider = parse_provider("p", {"algorithm": "ES256"})
    ours, theirs = (load_key_set([generate_key("ES256")], "ES256").keys[0] for _ in range(2))
    known = KeySet((ours.__class__(**{**vars(ours), "kid": "2024-a"}),))
    findings = inspect(sign(CLAIMS, theirs, kid=True), provider, known, NOW)
    assert "2024-a" in only_failure(findings).remedy


def test_a_signature_in_der_is_recognised() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = generate_key("ES256")
    keys = load_key_set([pem], "ES256")
    signing_input = sign(CLAIMS, keys.keys[0]).rpartition(".")[0]
    private = load_pem_private_key(pem.encode(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    der = private.sign(signing_input.encode(), ec.ECDSA(SHA256()))
    token = f"{signing_input}.{urlsafe_b64encode(der).rstrip(b'=').decode()}"
    finding = only_failure(inspect(token, parse_provider("p", {"algorithm": "ES256"}), keys, NOW))
    assert "DER" in finding.remedy


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "...", "\0", "é.é.é", "a" * 9000, "eyJ.eyJ.eyJ", "." * 500, "eyJhbGciOiJIUzI1NiJ9..", "\ud800.a.b"],
)
def test_nothing_that_is_pasted_makes_the_inspector_fail(token: str) -> None:
    findings = inspect(token, PROVIDER, KEYS, NOW)
    assert not passes(findings)


def test_a_deeply_nested_payload_does_not_make_the_inspector_fail() -> None:
    assert not passes(inspect(sign_text('{"a":' * 2000, SECRET), PROVIDER, KEYS, NOW))
