"""Read the time of day. The gateway and the identity provider read it only through this module.

Decisions that depend on the time of day use this clock; waits use `time.monotonic`. No setting or environment variable
moves the clock. `ahead` is 0 in every program that serves people. Only `lab.clock` changes it, in a test that runs both
programs in its own process.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

ahead = 0.0  # seconds by which a test has moved the clock


def time_now() -> float:
    """Return the seconds since 1970."""
    return time.time() + ahead


def utc_now() -> datetime:
    """Return the current time as an aware datetime in UTC."""
    return datetime.fromtimestamp(time_now(), UTC)
