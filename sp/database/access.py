"""Provide the only access to the gateway's tables: transactions that read or write. A failure raises StoreUnavailable.

If the database cannot be reached, people are denied access. So this module translates each failure of the database into
StoreUnavailable, and other modules need not do so. An IntegrityError, for example because a row exists already, is not
a failure: the caller decides what it means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from shared.errors import StoreUnavailable
from sp.database.prepared import pipelined
from sp.database.shared_commits import SharedCommits
from sp.metrics_counters import READ, STORING, WRITE, counters

Result = TypeVar("Result")


class Database:
    """Provides connections. `engine` is for work on the database as a whole: migrations, health, clocks."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writing = engine.execution_options(write=True)  # on SQLite: lock at the beginning, not at the first write
        self._shared = self._sharing() if self.dialect == "sqlite" else None

    @property
    def dialect(self) -> str:
        """Return "sqlite" or "postgresql"."""
        return self.engine.dialect.name

    def when_closed(self, act: Callable[[], object]) -> None:
        """Call *act* when the connections are closed."""
        event.listen(self.engine, "engine_disposed", lambda _engine: act())

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Provide a connection that only reads. On SQLite it does not wait for writers. Raises StoreUnavailable."""
        with counters.timing(STORING, READ), _translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Provide a transaction, committed at the end or rolled back by any exception. Raises StoreUnavailable."""
        with counters.timing(STORING, WRITE), _translated(), self._writing.begin() as connection:
            yield connection

    def together(self, work: Callable[[Connection], Result]) -> Result:
        """Run *work* in a transaction, and return its result after the commit. An exception rolls all of it back.

        On SQLite, transactions that run at the same time share one commit, and `sp.database.shared_commits` says what
        *work* must not do. On PostgreSQL, the statements of *work* are `pipelined`.

        Raises StoreUnavailable. On SQLite this is OutcomeUnknown if the commit took too long.
        """
        if self._shared is None:
            # `pipelined` sends BEGIN and COMMIT itself. So the commit at the end of `writing` finds nothing left to do.
            with self.writing() as connection, pipelined(connection):
                return work(connection)
        with counters.timing(STORING, WRITE), _translated():
            return self._shared.run(work)

    def _sharing(self) -> SharedCommits:
        from shared.kept_connection import KeptConnection  # not needed on PostgreSQL
        from shared.sqlite import breaker_of, leave, turn_within

        kept = KeptConnection(self._writing, lambda connection: leave(self.engine, connection.info))
        self.when_closed(kept.close)

        @contextmanager
        def begin(seconds: float) -> Iterator[Connection]:
            with turn_within(seconds), kept.begin() as connection:
                yield connection

        return SharedCommits(begin, breaker_of(self.engine))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except SQLAlchemyError as error:
        raise StoreUnavailable(f"the database did not answer: {type(error).__name__}") from error
