"""List the checks that an accepted token passed, with the values that were compared.

`sp.signin.verification` runs the checks and stops at the first failure. For an accepted token all checks have passed.
So nothing is verified again, and the list takes a sign-in almost no time. `sp.diagnosis.inspector` has the same names.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Collection

from shared.claims import Claims
from sp.activity.cleaning import clean_text, clip
from sp.activity.trace import PASSED, SKIPPED, CheckResult
from sp.providers.provider import Provider
from sp.providers.setting_reader import Expectation
from sp.signin.verification import CHECKS, STRICT_CHECKS, Verified

STARTED = "this browser had started a sign-in"
STARTED_ELSEWHERE = "this browser had started a sign-in, from another site"
NOT_STARTED = "this browser had not started a sign-in"
NOT_FOR_CLIENTS = "not for a client without cookies"
STRICT_ONLY = tuple(
    CheckResult(check.__name__.removeprefix("check_"), PASSED) for check in STRICT_CHECKS if check not in CHECKS
)


def passed_checks(verified: Verified, provider: Provider, secrets: Collection[str] = ()) -> tuple[CheckResult, ...]:
    """Return the checks that the token passed when it was verified, without the *secrets*."""
    found = [
        CheckResult("signature", PASSED, f"{provider.algorithm}, with the key {verified.key.fingerprint}"),
        CheckResult("type", PASSED, str((verified.header or {}).get("typ", ""))),
        *compared_values(verified.claims, provider, verified.checked_at, secrets),
    ]
    if provider.strict:
        found += STRICT_ONLY
    return tuple(found)


def compared_values(claims: Claims, provider: Provider, now: float, secrets: Collection[str]) -> list[CheckResult]:
    """Return the checks that compare a claim with a setting or the clock, with the texts of a passed check.

    *now* is the time of the checks, in seconds since 1970.
    """
    return [
        CheckResult("required", PASSED, ", ".join(provider.required_claims)),
        CheckResult("token_id", PASSED, f"{len(claims.token_id or '')} characters"),
        _expected("issuer", clean_text(claims.issuer or "", secrets), provider.issuer),
        _expected("audience", clean_text(" ".join(claims.audience), secrets), provider.audience),
        _not_before(claims, now, provider.clock_skew),
        _expiry(claims, provider, now),
        _age(claims, provider, now),
    ]


def browser_checks(
    nonce: str | None, *, matches: bool, started: bool, elsewhere: bool, is_bound: bool
) -> tuple[CheckResult, CheckResult]:
    """Say whether the browser had started a sign-in, and whether the token's nonce *matches* it.

    *is_bound* is False for a client whose cookies are ignored. *elsewhere*: another site started the sign-in.
    """
    if not is_bound:
        return CheckResult("asked_for", SKIPPED, NOT_FOR_CLIENTS), CheckResult("nonce", SKIPPED, NOT_FOR_CLIENTS)
    asked_for = (PASSED, STARTED_ELSEWHERE if elsewhere else STARTED) if started else (SKIPPED, NOT_STARTED)
    if nonce is None:
        compared = (SKIPPED, "not in the token")
    else:
        compared = (PASSED, "the one that this browser received") if matches else (SKIPPED, "none of this browser")
    return CheckResult("asked_for", *asked_for), CheckResult("nonce", *compared)


def _expected(name: str, value: str, wanted: Expectation) -> CheckResult:
    if not value:
        return CheckResult(name, SKIPPED, "not in the token")
    if wanted.match and wanted.expected:
        return CheckResult(name, PASSED, f"{clip(value, 100)}, as expected")
    return CheckResult(name, PASSED, f"{clip(value, 100)}; any is accepted")


def _not_before(claims: Claims, now: float, skew: int) -> CheckResult:
    moments = [(name, at) for name, at in (("nbf", claims.not_before), ("iat", claims.issued_at)) if at is not None]
    if not moments:
        return CheckResult("not_before", SKIPPED, "no nbf and no iat")
    ages = ", ".join(f"{name} {now - at:.0f} s ago" for name, at in moments)
    return CheckResult("not_before", PASSED, f"{ages}; clock_skew {skew} s")


def _expiry(claims: Claims, provider: Provider, now: float) -> CheckResult:
    if claims.expires_at is None:
        return CheckResult("expiry", SKIPPED, "no exp")
    extension = f"expiry_adjustment {provider.expiry_adjustment} s; " if provider.expiry_adjustment else ""
    left = f"{claims.expires_at - now:.0f} s left; {extension}clock_skew {provider.clock_skew} s"
    return CheckResult("expiry", PASSED, left)


def _age(claims: Claims, provider: Provider, now: float) -> CheckResult:
    if claims.issued_at is None:
        return CheckResult("age", SKIPPED, "no iat")
    return CheckResult("age", PASSED, f"{now - claims.issued_at:.0f} s; at most {provider.max_age} s")
