"""Inspect a token: run every check, report whether it passed or failed, and give the remedy.

The inspector runs the same checks as a sign-in, in the same order, but does not stop if a check fails. It checks the
claims even if the signature is invalid, and then marks these findings as unverified. It spends no token and opens no
session. `near_misses` explains errors. The caller adds whether the token was spent before, and whose account it belongs
to.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from shared.claims import Claims
from shared.errors import (
    AlgorithmNotAllowed,
    ClaimInvalid,
    KeyUnavailable,
    NonceMismatch,
    Rejection,
    SignatureInvalid,
    TokenMalformed,
)
from shared.keys import KeySet, TokenKey
from shared.tokens import TokenParts, check_algorithm, read_object, take_apart, verify_signature
from sp.accounts.provisioning import read_profile
from sp.diagnosis import near_misses
from sp.providers.provider import Provider
from sp.signin.verification import Case, Check, check_nonce, check_required, check_strict_header, checks_of

Outcome = Literal["passed", "failed", "skipped", "advice"]

# The claims that a check needs. If the token has none of them, the check is reported as skipped, not as passed.
LOOKS_AT = {
    "issuer": ("iss",),
    "audience": ("aud",),
    "not_before": ("nbf", "iat"),
    "expiry": ("exp",),
    "age": ("iat",),
    "token_id": ("jti",),
    "strict_audience": ("aud",),
    "strict_lifetime": ("exp",),
    "strict_email": ("email",),
}
NO_WAY_WITHOUT_JTI = (
    "Have the identity provider send it. It is always required: without it the token could be used twice."
)
REMEDIES = {
    "token_type_wrong": "Send a sign-in token: typ JWT or no typ, and no claims of other kinds of tokens.",
    "algorithm_not_allowed": "Set the same algorithm on both sides.",
    "key_unavailable": "Check the keys or the JWKS endpoint of this provider. Without a key, no token can be verified.",
    "claim_missing": "Have the identity provider send it, or remove it from the required claims or the field matching.",
    "claim_invalid": "Have the identity provider send a valid value.",
    "token_too_old": "Create a new token for each sign-in, with the current time. Stored tokens are rejected.",
    "token_expired": "If this token is old, inspect a new one.",
    "issuer_mismatch": "If this is the right sender, enter its iss in the settings: Token requirements, Issuer.",
    "audience_mismatch": "Have the token issued for this gateway, or correct Token requirements, Audience.",
    "nonce_mismatch": "Copy the nonce of the request to the token, at the identity provider, or do not require it.",
    "email_not_allowed": "To allow people of this domain, add it to email_domains.",
}


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    `unverified` is true if the check concerns content without a valid signature. `code` is the code of the rejection.
    The outcome "advice" means that the token works, but should be improved.
    """

    check: str
    outcome: Outcome
    explanation: str
    remedy: str = ""
    code: str = ""
    unverified: bool = False


def inspect(unverified_token: str, provider: Provider, keys: KeySet | None, now: float) -> list[Finding]:
    """Return a finding for every check of a sign-in by *unverified_token*, in the order of a sign-in.

    *keys* is None if the provider's keys are unavailable. *now* is in seconds since 1970.
    """
    parts, form = _form(unverified_token)
    header = parts.header if parts else (near_misses.peek(unverified_token)[0] or {})
    findings = [form, _algorithm(header, provider), _signature(parts, keys, provider)]
    verified = findings[-1].outcome == "passed"
    payload, finding = _payload(parts, unverified_token)
    about_content = [finding]
    if payload is None:
        about_content.append(Finding("claims", "skipped", "there are no readable claims"))
    else:
        about_content += _claims(payload, header, provider, _likely_key(keys, header), now)
    return findings + [replace(found, unverified=not verified) for found in about_content]


def passes(findings: list[Finding]) -> bool:
    """Tell whether the token itself is valid, which means that no check in *findings* failed."""
    return all(finding.outcome != "failed" for finding in findings)


def _form(token: str) -> tuple[TokenParts | None, Finding]:
    try:
        return take_apart(token), Finding("form", "passed", "three parts of base64url, and a header in JSON")
    except TokenMalformed as rejection:
        return None, _failed("form", rejection, near_misses.explain_form(token))


def _algorithm(header: Mapping[str, Any], provider: Provider) -> Finding:
    if not isinstance(header.get("alg"), str):
        hints = " ".join(near_misses.explain_header(header))
        return _failed("algorithm", AlgorithmNotAllowed("the header has no alg"), hints)
    try:
        check_algorithm(header, provider.algorithm)
    except AlgorithmNotAllowed as rejection:
        return _failed("algorithm", rejection)
    return Finding("algorithm", "passed", f"{provider.algorithm}, as configured")


def _signature(parts: TokenParts | None, keys: KeySet | None, provider: Provider) -> Finding:
    if keys is None or not keys.keys:
        return _failed("signature", KeyUnavailable(f"there is no {provider.algorithm} key to verify it with"))
    if parts is None:
        return Finding("signature", "skipped", "a token of this form has no signature to verify")
    try:
        key = verify_signature(parts, keys, provider.algorithm)
    except SignatureInvalid as rejection:
        return _failed("signature", rejection, near_misses.explain_signature(parts, keys, provider.algorithm))
    return Finding("signature", "passed", f"valid, made with the key {key.kid or key.fingerprint}")


def _payload(parts: TokenParts | None, token: str) -> tuple[Mapping[str, Any] | None, Finding]:
    octets = parts.payload if parts else near_misses.peek(token)[1]
    if octets is None:
        return None, _failed("payload", TokenMalformed("the payload cannot be read"))
    try:
        return read_object(octets, "payload"), Finding("payload", "passed", "a JSON object in UTF-8")
    except TokenMalformed as rejection:
        finding = _failed("payload", rejection, near_misses.explain_payload(octets))
        return near_misses.payload_inside(octets), finding


def _claims(
    payload: Mapping[str, Any], header: Mapping[str, Any], provider: Provider, key: TokenKey | None, now: float
) -> Iterator[Finding]:
    claims, bad_types = _parse(payload, provider)
    yield from bad_types.values() or [
        Finding("claim_types", "passed", "times are numbers, the other claims are strings")
    ]
    if any(isinstance(value, float) for value in (claims.issued_at, claims.expires_at, claims.not_before)):
        remedy = "Send whole seconds: some services reject fractions."
        yield Finding("claim_types", "advice", "a time has a fraction, which is allowed", remedy)
    missing: set[str] = set()
    for check in checks_of(provider):
        if check is check_required:
            yield from _required(claims, header, provider, now, missing)
        elif check is check_strict_header and key is None:
            yield Finding("strict_header", "skipped", "without a key the expected kid is unknown")
        else:
            # Only check_strict_header uses the key, and the branch above handles it if there is no key.
            yield _run(check, Case(header, claims, provider, key, now), bad_types, missing)  # type: ignore[arg-type]
    yield _nonce(claims, provider)
    yield _profile(claims, provider)


def _parse(payload: Mapping[str, Any], provider: Provider) -> tuple[Claims, dict[str, Finding]]:
    """Return the claims of valid type, and a finding for each claim of an invalid type, by its name."""
    readable = dict(payload)
    findings: dict[str, Finding] = {}
    while True:
        try:
            claims = Claims.parse(readable, numeric_token_id=provider.numeric_token_id)
        except ClaimInvalid as rejection:
            name = rejection.claim or ""
            remedy = near_misses.explain_claim(name, readable.pop(name))
            findings[name] = _failed("claim_types", rejection, remedy)
        else:
            return claims._replace(raw=payload), findings


def _required(
    claims: Claims, header: Mapping[str, Any], provider: Provider, now: float, missing: set[str]
) -> Iterator[Finding]:
    """Check each required claim separately, so that all missing claims are reported. Add them to *missing*."""
    for name in provider.required_claims:
        alone = replace(provider, required_claims=(name,))
        try:
            check_required(Case(header, claims, alone, None, now))  # type: ignore[arg-type]  # needs no key
        except Rejection as rejection:
            missing.add(name)
            remedy = NO_WAY_WITHOUT_JTI if name == "jti" else REMEDIES[rejection.code]
            yield _failed("required", rejection, near_misses.misspelt(name, claims.raw) or remedy)
    if not missing:
        names = ", ".join(name for name in provider.required_claims if name != "nonce")
        yield Finding("required", "passed", f"every required claim is present: {names}")


def _run(check: Check, case: Case, bad_types: Collection[str], missing: Collection[str]) -> Finding:
    name = check.__name__.removeprefix("check_")
    try:
        check(case)
    except Rejection as rejection:
        if rejection.code == "claim_missing" and (rejection.claim in bad_types or rejection.claim in missing):
            return Finding(name, "skipped", f"the problem with {rejection.claim} is reported above")
        return _failed(name, rejection, _clock_remedy(rejection, case))
    needed = LOOKS_AT.get(name, ())
    if needed and not any(claim in case.claims.raw for claim in needed):
        return Finding(name, "skipped", f"the token has no {' and no '.join(needed)}")
    if wrong := [claim for claim in needed if claim in bad_types]:
        return Finding(name, "skipped", f"{' and '.join(wrong)} has the wrong type, so it could not be checked")
    return Finding(name, "passed", (check.__doc__ or "").replace("`", "").strip())


def _clock_remedy(rejection: Rejection, case: Case) -> str:
    issued_at = case.claims.issued_at
    remedy = REMEDIES.get(rejection.code, "")
    if rejection.code not in ("token_not_yet_valid", "token_expired", "token_too_old") or issued_at is None:
        return remedy
    return f"{near_misses.explain_clock(issued_at - case.now)} {remedy}".strip()


def _nonce(claims: Claims, provider: Provider) -> Finding:
    if claims.nonce is not None:
        return Finding(
            "nonce", "skipped", "the token has a nonce; it can be checked only in the browser that started the sign-in"
        )
    try:
        check_nonce(claims, provider, frozenset())
    except NonceMismatch as rejection:
        return _failed("nonce", rejection)
    return Finding("nonce", "skipped", "the token has no nonce, and none is required")


def _profile(claims: Claims, provider: Provider) -> Finding:
    """Report the result of the field matching, without looking for an account."""
    try:
        profile = read_profile(claims, provider)
    except Rejection as rejection:
        hint = near_misses.misspelt(rejection.claim or "", claims.raw) if rejection.code == "claim_missing" else ""
        return _failed("profile", rejection, hint)
    filled = ["id", "email", *profile.fields, *profile.attributes, *(["groups"] if profile.groups is not None else [])]
    return Finding("profile", "passed", f"{profile.email}; fields filled: {', '.join(filled)}")


def _likely_key(keys: KeySet | None, header: Mapping[str, Any]) -> TokenKey | None:
    """Return the key that the header names, otherwise the signing key. Only one check needs it, and only its kid."""
    if keys is None or not keys.keys:
        return None
    return next((key for key in keys.keys if key.kid is not None and key.kid == header.get("kid")), keys.keys[0])


def _failed(check: str, rejection: Rejection, remedy: str = "") -> Finding:
    code = rejection.code
    return Finding(check, "failed", rejection.detail, remedy or REMEDIES.get(code, rejection.remedy), code)
