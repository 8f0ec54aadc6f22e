"""Limit password attempts at the local sign-in, counted in the database by all workers and nodes.

shared/throttling.py has the limits, and explains why a stranger cannot use them to lock anyone out. `sp.signin.cleanup`
deletes expired counters.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from shared.clock import utc_now
from shared.rate_limit_storage import SqlStorage
from shared.throttling import Throttle
from sp.database.access import Database
from sp.database.models import Counter


def make_throttle(database: Database, now: Callable[[], datetime] = utc_now) -> Throttle:
    """Return the gateway's throttle."""
    table: Any = Counter.__table__
    return Throttle(SqlStorage(table, database.reading, database.writing, now), now)
