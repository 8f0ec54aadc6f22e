"""Read the time of day, for both programs, in this one place.

Decisions by the time of day use this clock; pure waiting uses `time.monotonic`. No setting and no variable of the
environment moves this clock: `ahead` is 0 in every program that serves people, and `lab.clock` alone changes it, in the
process of a test that runs both programs there.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

ahead = 0.0  # seconds by which a test has moved the clock


def time_now() -> float:
    """Return the seconds since 1970."""
    return time.time() + ahead


def utc_now() -> datetime:
    """Return the same as an aware datetime in UTC."""
    return datetime.fromtimestamp(time_now(), UTC)
