"""Faults of time: tokens that are too old, not yet valid or valid for too long, and times that are missing or wrong."""

from __future__ import annotations

from datetime import UTC, datetime

from lab.drafts import LIFETIME, Draft
from lab.faults.fault import Fault, Make

HOUR = 3600
DAY = 24 * HOUR
TEN_YEARS = 3653 * DAY


def later(**seconds: int) -> Make:
    """Set each claim to a time that many seconds from now."""
    return lambda good: good.with_claims(**{name: good.now + by for name, by in seconds.items()})


def _expired(good: Draft) -> str:
    begun = good.now - 2 * HOUR - LIFETIME
    times = {name: begun for name in ("iat", "nbf") if name in good.claims}
    return good.with_claims(**times, exp=begun + LIFETIME)


def _as_text(good: Draft, seconds: int) -> str:
    return datetime.fromtimestamp(good.now + seconds, UTC).isoformat()


FAULTS = (
    Fault(
        "expired",
        "exp is two hours ago",
        "RFC 7519, section 4.1.4",
        _expired,
        "hole",
        about="exp",
    ),
    Fault(
        "not-yet-valid",
        "nbf is in an hour",
        "RFC 7519, section 4.1.5",
        later(nbf=HOUR, exp=2 * HOUR),
        "hole",
    ),
    Fault("iat-future", "iat is in an hour", "RFC 7519, section 4.1.6", later(iat=HOUR, exp=HOUR + LIFETIME)),
    Fault("iat-old", "iat is a day ago, exp is not reached", "RFC 7519, section 4.1.6", later(iat=-DAY), about="iat"),
    Fault("iat-missing", "there is no iat", "RFC 7519, section 4.1.6", lambda good: good.without("iat"), about="iat"),
    Fault(
        "iat-milliseconds",
        "iat is in milliseconds",
        "RFC 7519, section 2: NumericDate is in seconds",
        lambda good: good.with_claims(iat=good.now * 1000),
        about="iat",
    ),
    Fault(
        "iat-text",
        "iat is a date as text",
        "RFC 7519, section 4.1.6: a NumericDate",
        lambda good: good.with_claims(iat=_as_text(good, 0)),
        about="iat",
    ),
    Fault("exp-missing", "there is no exp", "RFC 7519, section 4.1.4", lambda good: good.without("exp"), about="exp"),
    Fault(
        "exp-milliseconds",
        "exp is in milliseconds: the token lives for 50,000 years",
        "RFC 7519, section 2: NumericDate is in seconds",
        lambda good: good.with_claims(exp=(good.now + LIFETIME) * 1000),
        about="exp",
    ),
    Fault(
        "exp-text",
        "exp is a date as text",
        "RFC 7519, section 4.1.4: a NumericDate",
        lambda good: good.with_claims(exp=_as_text(good, LIFETIME)),
        about="exp",
    ),
    Fault(
        "exp-null",
        "exp is null",
        "RFC 7519, section 4.1.4: a NumericDate",
        lambda good: good.with_claims(exp=None),
        about="exp",
    ),
    Fault(
        "exp-far",
        "exp is in ten years",
        "no RFC: a sign-in token lives for minutes",
        later(exp=TEN_YEARS),
        about="exp",
    ),
    Fault(
        "nbf-text",
        "nbf is a date as text",
        "RFC 7519, section 4.1.5: a NumericDate",
        lambda good: good.with_claims(nbf=_as_text(good, 0)),
    ),
)
