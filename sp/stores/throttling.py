"""Local sign-in: how many passwords may be tried, counted in the gateway's database by all workers and nodes.

The limits, and why a stranger cannot lock anyone out with them, stand in shared/throttling.py.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine

from shared.counters import SqlStorage
from shared.throttling import Throttle
from sp.models import Counter

FORGET_AT_ONCE = 100  # counters, now and then


def make_throttle(engine: Engine, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Throttle:
    """Return the gateway's throttle."""
    table: Any = Counter.__table__
    writing = engine.execution_options(write=True)

    def begin() -> AbstractContextManager[Connection]:
        return writing.begin()

    return Throttle(SqlStorage(table, begin, now), now)
