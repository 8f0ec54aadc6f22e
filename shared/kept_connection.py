"""Run transactions one after the other on a connection that stays out of the pool between them.

Taking a connection out of SQLAlchemy's pool, and giving it back, costs as much as the statements of a sign-in. If a
transaction fails in any way, its connection goes back to the pool, which makes it clean or replaces it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, QueuePool


class KeptConnection:
    """The connection of *engine* for callers that take turns. *ended* is called with it after each transaction.

    After `close`, the next transaction has a new one.
    """

    def __init__(self, engine: Engine, ended: Callable[[Connection], object]) -> None:
        self._engine, self._ended = engine, ended
        self._free: list[Connection] = []

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Yield the connection in a transaction, committed at the end and rolled back by any exception."""
        pool, connection = self._engine.pool, self._take()
        try:
            with connection.begin():
                yield connection
            self._ended(connection)
        except BaseException:
            connection.close()
            raise
        # A database in memory has a connection for each thread, and an engine that was disposed of has another pool.
        if isinstance(pool, QueuePool) and pool is self._engine.pool:
            self._free.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close the connection, unless a transaction is under way: then it is closed after that."""
        while True:
            try:
                connection = self._free.pop()  # another thread may take it at the same moment
            except IndexError:
                return
            connection.detach()  # a pool that was disposed of would keep it open
            connection.close()

    def _take(self) -> Connection:
        try:
            return self._free.pop()
        except IndexError:
            return self._engine.connect()
