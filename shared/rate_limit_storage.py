"""Store the counters of the limits library in a database that all workers and nodes share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

from limits.storage import Storage
from sqlalchemy import Connection, case, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class SqlStorage(Storage):
    """Fixed windows in a *table* of key, count and ends_at.

    One statement increases a count and reads it, so two attempts never get the same number.

    *writing* opens a transaction that is independent of the request's, so the attempt counts even if the request fails.
    *reading* opens a transaction that only reads; on SQLite, such a transaction does not wait for a writer.
    """

    STORAGE_SCHEME = None  # our code passes its table and clock; there is no storage URL

    def __init__(
        self,
        table: Any,
        reading: Callable[[], AbstractContextManager[Connection]],
        writing: Callable[[], AbstractContextManager[Connection]],
        now: Callable[[], datetime],
    ) -> None:
        super().__init__()
        self._table, self._reading, self._writing, self._now = table, reading, writing, now

    @property
    def base_exceptions(self) -> type[Exception]:
        """Return the exceptions that mean an unavailable database."""
        return SQLAlchemyError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add *amount* to the count of *key*, and return the count. If the window is over, a new one begins at zero."""
        now, columns = self._now(), self._table.c
        with self._writing() as connection:
            new = INSERT[connection.dialect.name](self._table).values(
                key=key, count=amount, ends_at=now + timedelta(seconds=expiry)
            )
            over = columns.ends_at <= now
            counted = new.on_conflict_do_update(
                index_elements=[columns.key],
                set_={
                    "count": case((over, new.excluded.count), else_=columns.count + new.excluded.count),
                    "ends_at": case((over, new.excluded.ends_at), else_=columns.ends_at),
                },
            ).returning(columns.count)
            return int(connection.execute(counted).scalar_one())

    def give_back(self, key: str) -> None:
        """Decrease the count by one, because the attempt did not fail."""
        columns = self._table.c
        with self._writing() as connection:
            counted = (columns.key == key) & (columns.count > 0)
            connection.execute(update(self._table).where(counted).values(count=columns.count - 1))

    def get(self, key: str) -> int:
        """Return the count in the window that is open."""
        columns = self._table.c
        with self._reading() as connection:
            query = select(columns.count).where(columns.key == key, columns.ends_at > self._now())
            return connection.execute(query).scalar() or 0

    def get_expiry(self, key: str) -> float:
        """Return when the window ends, in seconds since 1970."""
        columns = self._table.c
        with self._reading() as connection:
            ends_at: datetime | None = connection.execute(select(columns.ends_at).where(columns.key == key)).scalar()
            return (ends_at or self._now()).timestamp()

    def check(self) -> bool:
        """Tell whether the database can be used."""
        self.get("")
        return True

    def reset(self) -> int | None:
        """Delete all counters."""
        with self._writing() as connection:
            connection.execute(delete(self._table))
        return None

    def clear(self, key: str) -> None:
        """Delete one counter."""
        with self._writing() as connection:
            connection.execute(delete(self._table).where(self._table.c.key == key))

    def forget_ended(self, connection: Connection, rows: int) -> int:
        """Delete up to *rows* counters whose window is over, in the caller's transaction. Return their number."""
        columns = self._table.c
        over = select(columns.key).where(columns.ends_at <= self._now()).limit(rows).with_for_update(skip_locked=True)
        return connection.execute(delete(self._table).where(columns.key.in_(over))).rowcount
