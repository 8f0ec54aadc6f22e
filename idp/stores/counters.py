"""Counters in the database, as the limits library wants to have them: all workers count together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from limits.storage import Storage
from sqlalchemy import Connection, case, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from idp.models import CounterRow, db

INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class SqlStorage(Storage):
    """Fixed windows in the table `counters`. Counting is one statement, so no two attempts share a number."""

    STORAGE_SCHEME = None  # it is given its clock in the code, never named by an address

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._now = now

    @property
    def base_exceptions(self) -> type[Exception]:
        """Name what goes wrong when the database is away."""
        return SQLAlchemyError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count *amount* more in the window of *key*, begun anew if it is over; return the count."""
        now = self._now()
        with self._connection() as connection:
            new = INSERT[connection.dialect.name](CounterRow).values(
                key=key, count=amount, ends_at=now + timedelta(seconds=expiry)
            )
            over = CounterRow.ends_at <= now
            counted = new.on_conflict_do_update(
                index_elements=[CounterRow.key],
                set_={
                    "count": case((over, new.excluded.count), else_=CounterRow.count + new.excluded.count),
                    "ends_at": case((over, new.excluded.ends_at), else_=CounterRow.ends_at),
                },
            ).returning(CounterRow.count)
            return int(connection.execute(counted).scalar_one())

    def give_back(self, key: str) -> None:
        """Count one less: the attempt was no failure."""
        with self._connection() as connection:
            counted = (CounterRow.key == key) & (CounterRow.count > 0)
            connection.execute(update(CounterRow).where(counted).values(count=CounterRow.count - 1))

    def get(self, key: str) -> int:
        """Return the count in the window that is open."""
        with self._connection() as connection:
            query = select(CounterRow.count).where(CounterRow.key == key, CounterRow.ends_at > self._now())
            return connection.execute(query).scalar() or 0

    def get_expiry(self, key: str) -> float:
        """Return when the window ends, in seconds since 1970."""
        with self._connection() as connection:
            ends_at = connection.execute(select(CounterRow.ends_at).where(CounterRow.key == key)).scalar()
            return (ends_at or self._now()).timestamp()

    def check(self) -> bool:
        """Tell whether counting works."""
        self.get("")
        return True

    def reset(self) -> int | None:
        """Forget everything."""
        with self._connection() as connection:
            connection.execute(delete(CounterRow))
        return None

    def clear(self, key: str) -> None:
        """Forget one counter."""
        with self._connection() as connection:
            connection.execute(delete(CounterRow).where(CounterRow.key == key))

    def forget_ended(self, limit: int) -> None:
        """Delete counters whose window is over."""
        with self._connection() as connection:
            over = select(CounterRow.key).where(CounterRow.ends_at <= self._now()).limit(limit)
            connection.execute(delete(CounterRow).where(CounterRow.key.in_(over)))

    def _connection(self) -> Any:
        """Return a transaction of its own: a count stands even if the request it counts comes to nothing."""
        return _Transaction()


class _Transaction:
    def __enter__(self) -> Connection:
        db.session.rollback()  # a reader that is still open in this thread would keep the writer out
        self._connection = db.engine.connect().execution_options(write=True)
        self._connection.begin()
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        try:
            if kind is None:
                self._connection.commit()
        finally:
            self._connection.close()
