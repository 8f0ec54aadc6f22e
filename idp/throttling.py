"""Limit password attempts, with counters that all workers share in our own database.

shared/throttling.py has the limits, and explains why a stranger cannot use them to lock anyone out.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from idp.stores.rate_limit_storage import storage
from shared.throttling import Throttle


def make_throttle(now: Callable[[], datetime]) -> Throttle:
    """Return the throttle over this program's counters; *now* is the clock."""
    return Throttle(storage(now), now)
