"""Bring a database up to date, safely when several workers or nodes start at once; open SQLite the durable way."""

from __future__ import annotations

import fcntl
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, event, exc, text
from sqlalchemy.exc import SQLAlchemyError as DatabaseError

from shared.private_files import make_private_file

__all__ = ["DatabaseError", "Engine", "is_up_to_date", "lock_for_transaction", "prepare_engine", "upgrade"]

# A writer waits this long for the other threads of its process, and then for other processes, before the request ends
# as store_unavailable.
SQLITE_BUSY_MS = 15_000
LOCK_KEY = 0x6C796368  # "lych": the advisory lock that PostgreSQL nodes take while they migrate


def prepare_engine(engine: Engine) -> Engine:
    """Set the pragmas of each SQLite connection and let SQLAlchemy begin transactions itself; return *engine*.

    WAL lets readers go on while one writes; synchronous=FULL keeps the last commits through a power cut. A connection
    with the execution option `write` begins IMMEDIATE, so that two writers queue up at the door instead of failing
    in the middle. The threads of a process queue up at a door of their own first: before SQLite's they would sleep
    for ever longer times, and the unlucky one among eight for half a second.
    """
    if engine.dialect.name != "sqlite":
        return engine
    _keep_private(engine)
    door = threading.Lock()

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # sqlite3 must not begin transactions behind SQLAlchemy's back
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        write = connection.get_execution_options().get("write", False)
        if write and "behind_door" not in connection.info:
            if not door.acquire(timeout=SQLITE_BUSY_MS / 1000):
                raise exc.TimeoutError("another thread of this process has been writing all the time")
            connection.info["behind_door"] = True
        statement = "BEGIN IMMEDIATE" if write else "BEGIN"
        try:
            connection.connection.dbapi_connection.execute(statement)
        except sqlite3.Error as error:
            raise exc.OperationalError(statement, None, error) from error

    @event.listens_for(engine, "checkin")
    def leave(_connection: Any, record: Any) -> None:
        """Open the door again, whatever became of the transaction and its connection."""
        if record.info.pop("behind_door", False):
            door.release()

    return engine


def _keep_private(engine: Engine) -> None:
    """Let the database be made for its owner alone; SQLite gives its other files (-wal, -shm) the same mode."""
    database = engine.url.database
    if not database or database == ":memory:" or database.startswith("file:"):
        return

    @event.listens_for(engine, "do_connect")
    def make(*_connecting: Any) -> None:
        with suppress(OSError):  # SQLite says itself what it cannot open
            make_private_file(database)


def lock_for_transaction(connection: Connection, key: int) -> None:
    """Let nobody else who asks for *key* go on until this transaction ends.

    For what is read, judged and then written, on several nodes at once. On SQLite a transaction with the execution
    option `write` is alone by itself.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def upgrade(engine: Engine, migrations: Path) -> None:
    """Apply the migrations in *migrations* that the database lacks."""
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    with engine.connect() as connection:
        if _current(connection) == ScriptDirectory.from_config(config).get_current_head():
            return
    with _alone(engine), engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def is_up_to_date(engine: Engine, migrations: Path) -> bool:
    """Tell whether the database has all migrations in *migrations*."""
    with engine.connect() as connection:
        return _current(connection) == _head(migrations)


@lru_cache
def _head(migrations: Path) -> str | None:
    """Return the newest migration. The files are read once: they belong to the code that is running."""
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    return ScriptDirectory.from_config(config).get_current_head()


def _current(connection: Any) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """Hold a lock that every other starting worker or node waits for."""
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
        return
    database = engine.url.database
    if not database or database == ":memory:":
        yield
        return
    make_private_file(f"{database}.lock")
    with open(f"{database}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
