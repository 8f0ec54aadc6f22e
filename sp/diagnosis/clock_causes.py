"""Name causes that concern time: clocks that differ, tokens that were stored, tokens that were used before.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.claims import Claims
from shared.errors import Rejection
from sp.accounts.provisioning import read_profile
from sp.activity.trace import rfc3339
from sp.diagnosis.near_misses import HALF_HOUR, NEAR
from sp.signin.evidence import EarlierUse, Evidence
from sp.signin.verification import token_key

CERTAIN = 2  # seconds: rounding can explain a smaller difference


def not_yet_valid(evidence: Evidence, claims: Mapping[str, Any]) -> str:
    """Say by how much the sender's clock is ahead."""
    issued, not_before = _number(claims, "iat"), _number(claims, "nbf")
    skew = evidence.provider.clock_skew if evidence.provider else 0
    if issued is not None and issued - evidence.now > skew:
        ahead = issued - evidence.now
        return f"The sender's clock is {ahead:.0f} s ahead of ours{_zone(ahead)}; clock_skew allows {skew} s."
    if not_before is not None:
        late = not_before - evidence.now
        return f"nbf is {late:.0f} s in the future, though iat is not: the sender delays its tokens."
    return ""


def expired(evidence: Evidence, claims: Mapping[str, Any]) -> str:
    """Say whether the token is old, its lifetime is too short, or the sender's clock is behind."""
    issued, expires = _number(claims, "iat"), _number(claims, "exp")
    if expires is None:
        return ""
    if issued is None:
        return f"The token expired {evidence.now - expires:.0f} s ago by our clock, and has no iat. {_stored(evidence)}"
    if expires <= issued:
        return f"exp is {issued - expires:.0f} s before iat: the token was never valid."
    adjustment = evidence.provider.expiry_adjustment if evidence.provider else 0
    if adjustment < 0 and expires - evidence.now > 0:
        return f"The token has {expires - evidence.now:.0f} s left, but expiry_adjustment takes {-adjustment} s away."
    return _late(evidence, claims, issued, f"it was valid for {expires - issued:.0f} s")


def too_old(evidence: Evidence, claims: Mapping[str, Any]) -> str:
    """Say whether the token is old, or the sender's clock is behind."""
    issued = _number(claims, "iat")
    if issued is None or evidence.provider is None:
        return ""
    return _late(evidence, claims, issued, f"max_age is {evidence.provider.max_age} s")


def replayed(evidence: Evidence, claims: Mapping[str, Any]) -> str:
    """Say when the token was used before, and the reference of that use."""
    first = _earlier(evidence, claims)
    if first is None:
        return "The token was used before; the first use is not in the activity log any more."
    place = "the same IP" if first.ip == evidence.ip else "another IP"
    return f"The token was used before, at {rfc3339(first.at)}, from {place}: reference {first.reference}."


def _late(evidence: Evidence, claims: Mapping[str, Any], issued: float, limit: str) -> str:
    age = evidence.now - issued
    if (first := _earlier(evidence, claims)) is not None:
        return (
            f"The sender sent a stored token: it is {age:.0f} s old ({limit}), and was used before, at "
            f"{rfc3339(first.at)}: reference {first.reference}."
        )
    for one in evidence.asked:
        behind = one.started_at - issued
        if claims.get("nonce") == one.nonce and behind > CERTAIN:
            return (
                f"The sender's clock is at least {behind:.0f} s behind ours{_zone(behind)}: its iat is that much "
                "before the sign-in that the token answers."
            )
    if _zone(age):
        return f"The sender's clock is {age:.0f} s behind ours{_zone(age)} ({limit})."
    return f"The token is {age:.0f} s old by our clock ({limit}). {_stored(evidence)}"


def _stored(_evidence: Evidence) -> str:
    return "The sender's clock is behind ours, or it sent a stored token."


def _earlier(evidence: Evidence, claims: Mapping[str, Any]) -> EarlierUse | None:
    """Return the first use of the token, or None.

    The activity log has an entry of this use only if the token, or the original of a copy, was verified then.
    """
    if evidence.provider is None:
        return None
    try:
        parsed = Claims.parse(claims, numeric_token_id=evidence.provider.numeric_token_id)
        subject = read_profile(parsed, evidence.provider).subject
    except Rejection:
        return None
    return evidence.earlier(token_key(evidence.provider.name, parsed.token_id or ""), subject)


def _zone(seconds: float) -> str:
    off = abs(seconds)
    is_zone = off > HALF_HOUR - NEAR and (off + NEAR) % HALF_HOUR <= 2 * NEAR
    return ": it probably uses local time instead of UTC" if is_zone else ""


def _number(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
