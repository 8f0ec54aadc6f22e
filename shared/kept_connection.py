"""Run transactions one after the other on one connection, which does not go back to the pool between them.

Taking a connection from SQLAlchemy's pool and returning it takes as long as running the statements of a sign-in. If a
transaction fails in any way, its connection goes back to the pool, which resets or replaces it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, QueuePool


class KeptConnection:
    """A connection of *engine* that is kept for callers that take turns.

    After each committed transaction, this class calls *ended* with the connection. After `close`, the next transaction
    opens a new connection.
    """

    def __init__(self, engine: Engine, ended: Callable[[Connection], object]) -> None:
        self._engine, self._ended = engine, ended
        self._free: list[Connection] = []

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Yield the connection in a transaction, which is committed at the end, or rolled back after an exception."""
        pool, connection = self._engine.pool, self._take()
        try:
            with connection.begin():
                yield connection
            self._ended(connection)
        except BaseException:
            connection.close()
            raise
        # Keep the connection only if every thread may use it (in a QueuePool, not for a database in memory), and if the
        # engine still has the same pool: an engine that was disposed of has another one.
        if isinstance(pool, QueuePool) and pool is self._engine.pool:
            self._free.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close the connection. If a transaction is running on it, it is closed when that transaction ends."""
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
