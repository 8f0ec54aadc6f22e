"""Report on a trial sign-in: the result of every check, and of the field matching.

This module does no I/O, except that it may fetch keys from the provider's key endpoint. `sp.diagnosis.trials` adds the
account of the token, and whether the token was spent before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from shared.errors import Rejection
from shared.keys import KeySet
from sp.diagnosis import near_misses
from sp.diagnosis.expectations import advise, not_compared
from sp.diagnosis.inspector import Finding, inspect
from sp.diagnosis.matching import REQUIRED, match_fields, unmatched_claims
from sp.providers.registry import Trusted
from sp.signin.attempt import verify_with_keys
from sp.signin.verification import Verified, check_nonce


def examine(
    unverified_token: str, trusted: Trusted, nonce: str | None, now: float
) -> tuple[Verified | None, dict[str, Any]]:
    """Return the verified token, or None, and the report of every check.

    *nonce* is the nonce that the token should contain, or None if it is not known.

    `outcome` in the report is the rejection that a real sign-in would get, or None if the token itself is valid. `key`
    is the fingerprint of the key that verified the token. `expect` has the issuer and the audience that the settings
    should expect, but do not expect yet.
    """
    provider = trusted.provider
    verified, keys = _verify(unverified_token, trusted, now)
    findings = inspect(unverified_token, provider, keys, now)
    if verified is not None and nonce is not None:
        findings = [_judge_nonce(verified, nonce, trusted) if f.check == "nonce" else f for f in findings]
    expect = not_compared(verified.claims, provider) if verified else {}
    findings = [advise(finding, expect) for finding in findings]
    payload = verified.claims.raw if verified else _unverified_payload(unverified_token)
    header = near_misses.peek(unverified_token)[0]
    return verified, {
        "verified": verified is not None,
        "findings": [asdict(finding) for finding in findings],
        "header": shown(header) if header is not None else "",
        "claims": shown(payload) if payload is not None else "",
        "matches": [
            {
                "field": match.field,
                "wanted": match.wanted,
                "claim": match.claim,
                "value": shown(match.value),
                "required": match.field in REQUIRED,
            }
            for match in match_fields(payload or {}, provider)
        ],
        "unmatched": unmatched_claims(payload or {}, provider),
        "key": verified.key.fingerprint if verified else None,
        "expect": expect,
        "outcome": _refused(findings),
    }


def report_without_token(rejection: Rejection) -> dict[str, Any]:
    """Return the report of a trial that got no token, or got one in a way that is not allowed."""
    finding = Finding("delivery", "failed", rejection.detail, rejection.remedy, rejection.code)
    return {
        "verified": False,
        "findings": [asdict(finding)],
        "header": "",
        "claims": "",
        "matches": [],
        "unmatched": [],
        "outcome": _refused([finding]),
    }


def refusal(code: str, detail: str, remedy: str) -> dict[str, Any]:
    """Return the outcome of a sign-in that would be rejected."""
    return {"what": "refuse", "code": code, "detail": detail, "remedy": remedy, "changes": {}}


def shown_pairs(changes: Mapping[str, list[Any]]) -> dict[str, list[str | None]]:
    """Return [before, after] for each field as texts."""
    return {
        name: [None if value is None else shown(value) for value in (before, after)]
        for name, (before, after) in changes.items()
    }


def shown(value: Any) -> str:
    """Return *value* as text for a page. Text stays unchanged, and any other value becomes JSON."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, indent=2, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply to show)"


def storable(value: Any) -> Any:
    """Escape the characters in the report that databases and pages reject (NUL, unpaired surrogates)."""
    if isinstance(value, str):
        return value.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {storable(name): storable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value


def _verify(unverified_token: str, trusted: Trusted, now: float) -> tuple[Verified | None, KeySet | None]:
    """Verify the token as a sign-in does, and return the verified token and the last keys that were tried.

    The token is None if it was rejected. The keys are None if none were tried.
    """
    tried: list[KeySet] = []

    try:
        verified = verify_with_keys(unverified_token, trusted, lambda: now, note=tried.append)
    except Rejection:
        return None, tried[-1] if tried else None
    return verified, tried[-1]


def _judge_nonce(verified: Verified, nonce: str, trusted: Trusted) -> Finding:
    try:
        check_nonce(verified.claims, trusted.provider, frozenset({nonce}))
    except Rejection as rejection:
        remedy = "Have the identity provider copy the nonce of the request to the token, or turn off require_nonce."
        return Finding("nonce", "failed", rejection.detail, remedy, rejection.code)
    if verified.claims.nonce is None:
        remedy = "If the identity provider can send the nonce back, turn that on: it binds a token to the browser."
        return Finding("nonce", "advice", "the token has no nonce, and none is required", remedy)
    may_require = (
        ""
        if trusted.provider.require_nonce
        else "The identity provider sends it back, so you can require it (require_nonce)."
    )
    return Finding("nonce", "passed", "the nonce is the one that this browser received", may_require)


def _unverified_payload(unverified_token: str) -> Mapping[str, Any] | None:
    """Return the payload without a valid signature, to display it as unverified."""
    return near_misses.payload_inside(near_misses.peek(unverified_token)[1])


def _refused(findings: list[Finding]) -> dict[str, Any] | None:
    failed = next((finding for finding in findings if finding.outcome == "failed"), None)
    return refusal(failed.code, failed.explanation, failed.remedy) if failed else None
