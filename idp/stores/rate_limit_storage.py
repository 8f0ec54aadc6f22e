"""Keep the counters of the throttle in a table that all workers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Connection

from idp.models import CounterRow, db
from shared.rate_limit_storage import SqlStorage


def storage(now: Callable[[], datetime]) -> SqlStorage:
    """Return the counters in the form that the limits library expects; *now* is the clock."""
    return SqlStorage(CounterRow.__table__, _reading, independent_transaction, now)


@contextmanager
def independent_transaction() -> Iterator[Connection]:
    """Open a separate transaction, so that an attempt is counted even if its request fails."""
    db.session.rollback()  # an open read transaction in this thread would block the writer
    with db.engine.connect().execution_options(write=True) as connection, connection.begin():
        yield connection


@contextmanager
def _reading() -> Iterator[Connection]:
    with db.engine.connect() as connection:
        yield connection
