"""SQLite, opened the durable way, and with a bound on the wait for its one write lock."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

from sqlalchemy import URL, Engine, event, exc

from shared.breaker import Breaker, StoreHangs
from shared.private_files import make_private_file

# A writer waits so long for the other threads of its process, and then as long for other processes. Together less
# than the five seconds within which every request is answered.
BUSY_MS = 2_000
WAITS, WRITES = "waits", "writes"  # of a connection behind the door: for the file's lock, or holding it
POOL = {"pool_size": 16, "max_overflow": -1}  # a connection for each thread: none waits for another one's


def options(url: URL) -> dict[str, Any]:
    """Return the options of the engine for *url*. A database in memory has one connection only."""
    return dict(POOL) if url.database not in (None, "", ":memory:") else {}


def prepare(engine: Engine) -> None:
    """Set the pragmas of each connection and let SQLAlchemy begin transactions itself.

    WAL lets readers go on while one writes; synchronous=FULL keeps the last commits through a power cut. A connection
    with the execution option `write` begins IMMEDIATE, so that two writers queue up at the door instead of failing
    in the middle. The threads of a process queue up at a door of their own first: before SQLite's they would sleep
    for ever longer times, and the unlucky one among eight for half a second.
    """
    _keep_private(engine)
    door, breaker = threading.Lock(), Breaker(time.monotonic)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # sqlite3 must not begin transactions behind SQLAlchemy's back
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        if not connection.get_execution_options().get("write", False):
            _execute(connection, "BEGIN")
            return
        with _waiting(breaker):
            if "behind_door" not in connection.info:
                if not door.acquire(timeout=BUSY_MS / 1000):
                    raise _locked("another thread of this process has been writing all the time")
                connection.info["behind_door"] = WAITS
            _execute(connection, "BEGIN IMMEDIATE")
        connection.info["behind_door"] = WRITES

    @event.listens_for(engine, "checkin")
    def leave(_connection: Any, record: Any) -> None:
        """Open the door again, whatever became of the transaction and its connection."""
        state = record.info.pop("behind_door", None)
        if state is not None:
            door.release()
        if state == WRITES:
            breaker.answered(breaker.asked())  # the lock is free again, for this process at least


def _keep_private(engine: Engine) -> None:
    """Let the database be made for its owner alone; SQLite gives its other files (-wal, -shm) the same mode."""
    database = engine.url.database
    if not database or database == ":memory:" or database.startswith("file:"):
        return

    @event.listens_for(engine, "do_connect")
    def make(*_connecting: Any) -> None:
        with suppress(OSError):  # SQLite says itself what it cannot open
            make_private_file(database)


def patient(_engine: Engine, *, migrating: bool = False) -> AbstractContextManager[None]:
    """Change nothing: here statements have no limit, and programs that start wait for each other at a file lock."""
    return nullcontext()


@contextmanager
def _waiting(breaker: Breaker) -> Iterator[None]:
    """Wait for the write lock, unless others have waited for it in vain a moment ago. Raises OperationalError."""
    try:
        with breaker.asking((exc.OperationalError,)):
            yield
    except StoreHangs:
        raise _locked("another process has been writing all the time") from None


def _execute(connection: Any, statement: str) -> None:
    try:
        connection.connection.dbapi_connection.execute(statement)
    except sqlite3.Error as error:
        raise exc.OperationalError(statement, None, error) from error


def _locked(why: str) -> exc.OperationalError:
    return exc.OperationalError("BEGIN IMMEDIATE", None, sqlite3.OperationalError(why))
