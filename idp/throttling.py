"""How many passwords may be tried here, counted in our own database by all workers.

The limits, and why a stranger cannot lock anyone out with them, stand in shared/throttling.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from idp.stores.counters import storage
from shared.throttling import Throttle


def make_throttle(now: Callable[[], datetime]) -> Throttle:
    """Return the throttle over this program's counters; *now* is the clock."""
    return Throttle(storage(now), now)
