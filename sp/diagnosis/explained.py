"""Explain a rejection when it happens: the cause in one line, every check, and the token's content.

The activity log stores the result. This module decides nothing: the attempt has already been rejected.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from shared.claims import Claims
from shared.errors import Rejection
from sp.activity.cleaning import REDACTED, clean, clean_text, clean_url
from sp.activity.trace import FAILED, PASSED, AccountDecision, CheckResult, Explained, Facts
from sp.diagnosis import near_misses
from sp.diagnosis.causes import cause_of
from sp.diagnosis.inspector import Finding, inspect
from sp.signin.evidence import Evidence
from sp.signin.passed_checks import browser_checks, compared_values, passed_checks

ABOUT_THE_ACCOUNT = ("user_unknown", "user_disabled", "email_conflict", "seat_limit_reached", "email_not_allowed")
# Codes that a sign-in can get after all checks of the token itself have passed, with the check that failed.
LATER_CHECKS = {
    "nonce_mismatch": "nonce",
    "unsolicited": "asked_for",
    "token_replayed": "unspent",
    "cookies_blocked": "cookies",
    "claim_missing": "profile",
    "claim_invalid": "profile",
    "email_not_allowed": "profile",
    **dict.fromkeys(ABOUT_THE_ACCOUNT[:-1], "account"),
}
CUT_IN_DETAILS = {"issuer": "iss", "audience": "aud"}  # claims that may be clipped in the detail of a check


def explain(evidence: Evidence) -> Explained:
    """Return the cause of the rejection, and the facts to store."""
    rejection, secrets = evidence.rejection, evidence.secrets
    findings = _findings(evidence)
    header, claims = _content(evidence)
    clean_claims, clipped = clean(claims, secrets, text=120, items=20) if claims is not None else (None, False)
    account = AccountDecision("refused", clean_text(rejection.detail, secrets))
    facts = Facts(
        header=clean(header, secrets, text=60, items=8)[0] if header is not None else None,
        claims=clean_claims,
        key=_fingerprint(evidence, findings),
        checks=tuple(
            check._replace(detail=_detail(check, claims or {}, secrets))
            for check in _checks(evidence, findings, claims or {})
        ),
        account=account if rejection.code in ABOUT_THE_ACCOUNT else None,
        sent_to=clean_url(evidence.sent_to),
        clipped=clipped,
        checked_at=evidence.verified.checked_earlier if evidence.verified else None,
    )
    return Explained(clean_text(cause_of(evidence, claims or {}), secrets), facts)


def _detail(check: CheckResult, claims: Mapping[str, Any], secrets: Collection[str]) -> str:
    """Return the detail of *check* without secrets, even if a clipped value ends in the middle of a secret."""
    name = CUT_IN_DETAILS.get(check.name, "")
    value = str(claims.get(name, ""))
    if clean_text(value, secrets) != value:
        return f"{name} is {REDACTED}"
    return clean_text(check.detail, secrets)


def _findings(evidence: Evidence) -> list[Finding]:
    """Return a finding for every check of a rejected sign-in token. For other attempts, return an empty list.

    Without a provider, the list is empty too.
    """
    token, provider = evidence.arrival.token, evidence.provider
    if token is None or provider is None or evidence.purpose != "sign_in" or evidence.verified is not None:
        return []
    return inspect(token, provider, evidence.keys, evidence.now)


def _content(evidence: Evidence) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """Return header and claims of the token, unverified unless every check has passed."""
    if evidence.verified is not None:
        return evidence.verified.header, evidence.verified.claims.raw
    if evidence.arrival.token is None:
        return None, None
    header, payload = near_misses.peek(evidence.arrival.token)
    return header, near_misses.payload_inside(payload)


def _checks(evidence: Evidence, findings: list[Finding], claims: Mapping[str, Any]) -> list[CheckResult]:
    code, detail = evidence.rejection.code, evidence.rejection.detail
    if evidence.verified is not None and evidence.provider is not None:
        passed = [
            *passed_checks(evidence.verified, evidence.provider, evidence.secrets),
            *_of_browser(evidence, evidence.verified.claims.nonce),
        ]
        failed = CheckResult(LATER_CHECKS.get(code, code), FAILED, detail)
        return [*(check for check in passed if check.name != failed.name), failed]
    values = _values(evidence, claims)
    found = [_result(finding, values) for finding in findings if finding.check != "nonce" or finding.outcome == FAILED]
    if findings:
        found += [check for check in _of_browser(evidence, claims.get("nonce")) if not _has(found, check.name)]
    if any(finding.code == code for finding in findings):
        return found
    is_sign_out = evidence.purpose == "sign_out" and evidence.arrival.token is not None
    return [CheckResult("sign_out" if is_sign_out else "delivery", FAILED, detail), *found]


def _of_browser(evidence: Evidence, nonce: object) -> tuple[CheckResult, CheckResult]:
    """Say whether the browser had started this sign-in. If it started several, the nonce selects one."""
    matching = [one for one in evidence.asked if one.nonce == nonce] or [*evidence.asked]
    return browser_checks(
        nonce if isinstance(nonce, str) else None,
        matches=any(one.nonce == nonce for one in evidence.asked),
        started=bool(evidence.asked),
        elsewhere=bool(matching) and matching[0].elsewhere,
        is_bound=evidence.arrival.is_bound,
    )


def _has(checks: list[CheckResult], name: str) -> bool:
    return any(check.name == name for check in checks)


def _values(evidence: Evidence, claims: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the values that each check compares, by the name of the check.

    The result is empty if there is no provider, or if a claim has a wrong type.
    """
    provider = evidence.provider
    if provider is None:
        return {}
    try:
        parsed = Claims.parse(claims, numeric_token_id=provider.numeric_token_id)
    except Rejection:
        return {}
    return {check.name: check.detail for check in compared_values(parsed, provider, evidence.now, evidence.secrets)}


def _result(finding: Finding, values: Mapping[str, str]) -> CheckResult:
    """Return the finding as a result. For a passed check, keep its values and leave out its standard sentence."""
    says_more = finding.outcome == FAILED or finding.check in ("algorithm", "signature", "profile")
    detail = finding.explanation if says_more else values.get(finding.check, "")
    return CheckResult(finding.check, finding.outcome, detail)


def _fingerprint(evidence: Evidence, findings: list[Finding]) -> str | None:
    """Return the fingerprint of the key that made the signature, or None if no check found it valid."""
    if evidence.verified is not None:
        return evidence.verified.key.fingerprint
    if evidence.keys is None or not any(f.check == "signature" and f.outcome == PASSED for f in findings):
        return None
    named = [f.explanation.rpartition(" ")[2] for f in findings if f.check == "signature"]
    return next((key.fingerprint for key in evidence.keys.keys if named[0] in (key.kid, key.fingerprint)), None)
