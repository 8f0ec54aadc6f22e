"""Build the activity log's trace of a trial sign-in: its outcome, and every check with its result.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sp.activity.cleaning import clean, clean_text, clip
from sp.activity.trace import PASSED, AccountDecision, CheckResult, Facts
from sp.diagnosis import near_misses
from sp.signin.verification import Verified

DECISIONS = {"create": "created", "join": "linked", "sign_in": "found", "refuse": "refused"}
REPORT = "/settings/sso/jwt/trial/…"
MAX_DETAIL = 300  # characters


def trial_content(unverified_token: str, verified: Verified | None, secrets: Collection[str]) -> Facts:
    """Return the token's content without secrets. It is unverified unless *verified* is given."""
    header, payload = near_misses.peek(unverified_token)
    claims = verified.claims.raw if verified else near_misses.payload_inside(payload)
    return Facts(
        header=clean(header, secrets)[0] if header is not None else None,
        claims=clean(claims, secrets)[0] if claims is not None else None,
        key=verified.key.fingerprint if verified else None,
    )


def trial_facts(report: Mapping[str, Any], content: Facts, secrets: Collection[str]) -> Facts:
    """Return *content* with the checks and the outcome of the *report*."""
    outcome = report["outcome"]
    checks = tuple(
        CheckResult(f["check"], f["outcome"], "" if f["outcome"] == PASSED else _text(f["explanation"], secrets))
        for f in report["findings"]
    )
    why = _text(outcome.get("detail") or "as a sign-in would", secrets)
    account = AccountDecision(DECISIONS[outcome["what"]], why, outcome.get("account_id"), tuple(outcome["changes"]))
    return replace(content, checks=checks, account=account, sent_to=REPORT)


def trial_cause(report: Mapping[str, Any], account_id: int, secrets: Collection[str]) -> str:
    """Return the first line of the trace."""
    outcome, who = report["outcome"], f"a trial by the account {account_id}; nothing was opened or changed"
    if outcome["what"] != "refuse":
        return f"the sign-in would work ({who})"
    return f"{_text(outcome['detail'], secrets)}. {_text(outcome['remedy'], secrets)} ({who})"


def _text(text: str, secrets: Collection[str]) -> str:
    return clip(clean_text(text, secrets), MAX_DETAIL)
