"""Open a database with a limit on every wait, and migrate it, even if several nodes start at the same time.

shared/postgresql.py and shared/sqlite.py contain the code for each kind of database.
"""

from __future__ import annotations

import fcntl
import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError as DatabaseError

from shared.clocks import complaint, seconds_ahead
from shared.errors import StoreUnavailable
from shared.extras import load_extra
from shared.private_files import make_private_file
from shared.settings import SettingsRefused
from shared.store_urls import NO_DATABASE

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["DatabaseError", "Engine"]

_REVISION = re.compile(r'^(down_revision|revision)\b[^=\n]*=\s*["\']([^"\'\n]+)["\']', re.MULTILINE)
LOCK_KEY = 0x6C796368  # "lych": the advisory lock that PostgreSQL nodes take while they migrate


def engine_options(url: str, setting: str = "") -> dict[str, Any]:
    """Return the options for the engine of *url*: its pool and network limits.

    *setting* is the name of the setting that contains the URL. Raises SettingsRefused, which names the setting, if the
    URL cannot be parsed or the driver for it is not installed.
    """
    try:
        parsed = make_url(url)
    except (ValueError, DatabaseError):  # the error text may contain a part of the password
        raise SettingsRefused([f"{setting} {NO_DATABASE}"]) from None
    if parsed.get_backend_name() == "postgresql":
        load_extra("psycopg", "postgresql", setting)
        try:
            parsed.get_dialect()().create_connect_args(parsed)  # reads the port; its error quotes an invalid port
        except DatabaseError:
            raise SettingsRefused([f"{setting} {NO_DATABASE}"]) from None
    found: dict[str, Any] = _module(parsed.get_backend_name()).options(parsed)
    return found


def prepare_engine(engine: Engine) -> Engine:
    """Limit every wait of *engine*, and for SQLite set the options for durability. Return *engine*."""
    _module(engine.dialect.name).prepare(engine)
    return engine


def make_engine(url: str) -> Engine:
    """Return an engine for *url*, prepared by `prepare_engine`."""
    return prepare_engine(create_engine(url, **engine_options(url)))


@contextmanager
def starting(engine: Engine, setting: str, migrations: Path) -> Iterator[None]:
    """Migrate the database, and then run the block with the longer time limits of a start.

    Raises SettingsRefused, with *setting* and the reason, if the database cannot be used.
    """
    try:
        upgrade(engine, migrations)
        with _module(engine.dialect.name).patient(engine):
            yield
    except (DatabaseError, StoreUnavailable) as error:
        cause = error.__cause__ if isinstance(error, StoreUnavailable) else error
        lines = str(getattr(cause, "orig", None) or cause).splitlines()
        raise SettingsRefused([f"{setting}: the database cannot be used: {lines[0] if lines else error}"]) from error


def lock_for_transaction(connection: Connection, key: int) -> None:
    """Hold the lock *key* until this transaction ends. Other transactions that take the lock wait for it.

    Use this lock for data that several nodes read, check and then write. On SQLite it does nothing, because only one
    transaction with the execution option `write` runs at a time.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def upgrade(engine: Engine, migrations: Path) -> None:
    """Apply the migrations in *migrations* that the database lacks."""
    patient = _module(engine.dialect.name).patient
    with patient(engine), engine.connect() as connection:
        if _current(connection) == _head(migrations):
            return
    from alembic import command  # the import takes a fifth of a second; skip it for a database that is up to date

    config = _alembic_config(migrations)
    with patient(engine, migrating=True), _alone(engine), engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def is_up_to_date(engine: Engine, migrations: Path) -> bool:
    """Tell whether the database has all migrations in *migrations*."""
    with engine.connect() as connection:
        return _current(connection) == _head(migrations)


@lru_cache
def _head(migrations: Path) -> str | None:
    """Return the newest migration: the one that no other migration follows.

    This function finds the migration by the assignments at the top of each migration file. It asks Alembic only if
    these assignments do not name exactly one newest migration. It reads the files only once, because they belong to the
    running code.
    """
    texts = [path.read_text(encoding="utf-8") for path in (migrations / "versions").glob("*.py")]
    found: list[dict[str, str]] = [dict(_REVISION.findall(text)) for text in texts]
    followed = {revision.get("down_revision") for revision in found}
    newest = [name for revision in found if (name := revision.get("revision")) not in followed]
    if len(newest) == 1 and newest[0]:
        return newest[0]
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_alembic_config(migrations)).get_current_head()


def _current(connection: Connection) -> str | None:
    """Return the newest migration in the database, or None if it has none. Alembic records it in a table."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT max(version_num) FROM alembic_version")).scalar()
    return found


def _alembic_config(migrations: Path) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    return config


def clock_complaint(engine: Engine) -> str | None:
    """Return a warning if the clock of a PostgreSQL server is wrong, else None. Raises DatabaseError."""
    if engine.dialect.name != "postgresql":
        return None
    now = text("SELECT extract(epoch FROM clock_timestamp())")
    with engine.connect() as connection:
        connection.execute(now)  # connect now, so that the time for connecting is not counted
        return complaint("the database", seconds_ahead(lambda: float(connection.execute(now).scalar_one())))


def _module(kind: str) -> ModuleType:
    return importlib.import_module(f"{__package__}.{kind}")  # do not load the driver of the other kind


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
