"""Open SQLite so that commits are durable, and limit the wait for its only write lock."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, nullcontext, suppress
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, finalize

from sqlalchemy import URL, Engine, event, exc

from shared.breaker import STALL, Breaker, StoreHangs
from shared.private_files import make_private_file

# How long a writer waits for its turn, and then for SQLite's lock, which another writer holds for one transaction at
# most. TURN and BUSY_MS together are less than the five seconds within which every request is answered.
TURN = 3.0  # seconds
BUSY_MS = 1_000
# The same limits while a program starts. Together they are less than the 30 seconds after which gunicorn replaces a
# worker.
START_TURN = 15.0
START_BUSY_MS = 10_000
LOOK = 0.001  # seconds between two attempts to lock the turnstile
OCCUPIED = "another process has held the write lock all the time"
WAITS, WRITES = "waits", "writes"  # states of a connection: it waits for the lock of the file, or holds this lock
_starting: WeakSet[Engine] = WeakSet()
_thread = threading.local()
_breakers: WeakKeyDictionary[Engine, Breaker] = WeakKeyDictionary()
_doors: WeakKeyDictionary[Engine, threading.Lock] = WeakKeyDictionary()  # each is the write lock of one process
POOL = {"pool_size": 16, "max_overflow": -1}  # one connection for each thread, so no thread waits


def options(url: URL) -> dict[str, Any]:
    """Return the options of the engine for *url*. A database in memory has one connection only."""
    return dict(POOL) if url.database not in (None, "", ":memory:") else {}


def prepare(engine: Engine) -> None:
    """Set the pragmas of each connection and let SQLAlchemy begin transactions itself.

    WAL lets readers continue while one connection writes. With synchronous=FULL, a power cut loses no commit. A
    connection with the execution option `write` begins IMMEDIATE, so that two writers wait at the start instead of
    failing in the middle. The threads of a process first wait for a lock of their process (the "door"). Then one thread
    of each process waits for a lock file (the "turnstile"). If writers used only SQLite's lock, they would sleep longer
    and longer while the threads of another process take the lock one after the other.
    """
    database = _file(engine)
    if database:
        _keep_private(engine, database)
    door = _doors.setdefault(engine, threading.Lock())
    turnstile = _Turnstile(f"{database}.turn")
    breaker = breaker_of(engine)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # sqlite3 must not begin transactions, because SQLAlchemy begins them
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={START_BUSY_MS if engine in _starting else BUSY_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        if engine not in _starting:  # temporary tables of a migration may not fit into memory
            # Otherwise savepoints write temporary files, and sign-in fails if no temporary folder is writable.
            cursor.execute("PRAGMA temp_store=MEMORY")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        if not connection.get_execution_options().get("write", False):
            _execute(connection, "BEGIN")
            return
        with _waiting(breaker):
            turn = START_TURN if engine in _starting else min(TURN, getattr(_thread, "turn", TURN))
            deadline = time.monotonic() + turn
            if "behind_door" not in connection.info:
                if not door.acquire(timeout=turn):
                    raise _locked("another thread of this process has held the write lock all the time")
                connection.info["behind_door"] = WAITS
            with turnstile.held(deadline) if database else nullcontext():
                _execute(connection, "BEGIN IMMEDIATE")
        connection.info["behind_door"] = WRITES

    event.listen(engine, "checkin", lambda _connection, record: leave(engine, record.info))

    @event.listens_for(engine, "engine_disposed")
    def close(_engine: Engine) -> None:
        if door.acquire(blocking=False):  # if this fails, a writer is using the file, which stays open
            turnstile.close()
            door.release()


def leave(engine: Engine, info: MutableMapping[Any, Any]) -> None:
    """Release the lock of the process after a transaction, committed or not, of the connection with this *info*.

    When a connection goes back to the pool, this function is called automatically.
    """
    state = info.pop("behind_door", None)
    if state is not None:
        _doors[engine].release()
    if state == WRITES:
        breaker = breaker_of(engine)
        breaker.answered(breaker.asked())  # the lock is free again, for this process at least


@contextmanager
def turn_within(seconds: float) -> Iterator[None]:
    """Limit the wait of this thread's writers to *seconds*, because the thread has already waited."""
    before = getattr(_thread, "turn", TURN)
    _thread.turn = seconds
    try:
        yield
    finally:
        _thread.turn = before


def breaker_of(engine: Engine) -> Breaker:
    """Return the breaker that watches the writers of *engine*."""
    # Only one commit runs at a time, and on a busy disk it takes tenths of a second. So the limit is STALL even if many
    # writers wait.
    return _breakers.setdefault(engine, Breaker(time.monotonic, stall_when_full=STALL))


def _file(engine: Engine) -> str:
    """Return the path of the database, or an empty text for a database in memory."""
    database = engine.url.database or ""
    return "" if database == ":memory:" or database.startswith("file:") else database


def _keep_private(engine: Engine, database: str) -> None:
    """Create the database for its owner only; SQLite gives its other files (-wal, -shm) the same mode."""

    @event.listens_for(engine, "do_connect")
    def make(*_connecting: Any) -> None:
        with suppress(OSError):  # SQLite itself reports a file that it cannot open
            make_private_file(database)


class _Turnstile:
    """The lock file at *path*. Of all writers in all processes, only the one that holds it waits for SQLite's lock.

    A writer releases the lock file as soon as it has SQLite's lock. While it writes, a waiting process takes the lock
    file, so that process writes next. The file stays open, because opening it takes longer than all other steps. The
    caller makes sure that only one thread of this process uses the lock file at a time.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._opened = -1
        self._close: Callable[[], object] = lambda: None
        self._mark: tuple[int, ...] = ()  # which file is open, and in which process it was opened

    @contextmanager
    def held(self, deadline: float) -> Iterator[None]:
        """Hold the turnstile. Raises OperationalError."""
        try:
            turnstile = self._file()
        except OSError as error:
            raise _locked(f"{self._path}: {error.strerror}") from error
        while not _taken(turnstile):
            if time.monotonic() >= deadline:
                raise _locked("other processes have held the write lock all the time")
            time.sleep(LOOK)
        try:
            yield
        finally:
            # Closing the file would not release the lock if a child process was forked meanwhile, because the child
            # shares the lock.
            fcntl.flock(turnstile, fcntl.LOCK_UN)

    def _file(self) -> int:
        """Return the open file. Open it again in a child process, or if it is no longer the file at its path.

        A child process shares the open file of its parent, and with it the lock. So if the child used this file, parent
        and child could both have the lock at the same time.
        """
        if not self._mark or self._mark != self._found():
            self.close()
            make_private_file(self._path)
            self._opened = os.open(self._path, os.O_WRONLY)
            self._close = finalize(self, os.close, self._opened)
            self._mark = _mark(os.fstat(self._opened))
        return self._opened

    def close(self) -> None:
        """Close the file. `held` opens it again if necessary."""
        self._mark = ()
        self._close()

    def _found(self) -> tuple[int, ...]:
        try:
            return _mark(os.stat(self._path))
        except FileNotFoundError:
            return ()


def _mark(file: os.stat_result) -> tuple[int, ...]:
    return os.getpid(), file.st_dev, file.st_ino


def _taken(turnstile: int) -> bool:
    try:
        fcntl.flock(turnstile, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise _locked(f"the turn to write cannot be taken: {error.strerror}") from error
    return True


@contextmanager
def patient(engine: Engine, *, migrating: bool = False) -> Iterator[None]:
    """Let the connections of *engine* wait longer during the start, when many programs may open a new database."""
    if not _file(engine):
        yield  # in memory: no other process uses it, and a new connection would be a new database
        return
    _starting.add(engine)
    engine.dispose()  # so that each connection gets its limit
    try:
        yield
    finally:
        _starting.discard(engine)
        engine.dispose()


@contextmanager
def _waiting(breaker: Breaker) -> Iterator[None]:
    """Wait for the write lock in this block. If other writers do not get it either, raise OperationalError at once."""
    try:
        with breaker.asking((exc.OperationalError,)):
            yield
    except StoreHangs:
        raise _locked(OCCUPIED) from None


def _execute(connection: Any, statement: str) -> None:
    try:
        connection.connection.dbapi_connection.execute(statement)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
            raise _locked(f"{OCCUPIED}; try again when it has finished") from error
        raise exc.OperationalError(statement, None, error) from error


def _locked(why: str) -> exc.OperationalError:
    return exc.OperationalError("BEGIN IMMEDIATE", None, sqlite3.OperationalError(why))
