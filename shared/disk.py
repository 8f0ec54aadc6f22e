"""Tell whether a SQLite database can be written to, so that a full disk is found before a sign-in fails.

A commit into a write-ahead log may still succeed on a full disk, because the log reuses its file. So this module first
checks the free space. Then it writes and syncs a page, as a sign-in does. The write also fails if a quota or limit is
reached, or if the file system is mounted read-only.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

from shared.schema import Engine

LEAST_FREE = 1024 * 1024  # bytes: enough for about 20 sign-ins and their log
BELIEVED = 5  # seconds for which a result is cached, because anyone may ask and each check is a write
PATIENCE = 1  # seconds to wait for another writer; if another writer is active, the database can be written

_lock = threading.Lock()
_known: dict[str, tuple[float, str]] = {}  # for each file: the time until which the result is valid, and the problem


def write_trouble(engine: Engine) -> str:
    """Return why the SQLite database of *engine* cannot be written, or an empty text.

    Database servers are not checked.
    """
    database = engine.url.database
    if engine.dialect.name != "sqlite" or not database or database == ":memory:":
        return ""
    with _lock:
        until, trouble = _known.get(database, (0.0, ""))
        if time.monotonic() >= until:
            trouble = _try(Path(database))
            _known[database] = (time.monotonic() + BELIEVED, trouble)
        return trouble


def _try(database: Path) -> str:
    try:
        disk = os.statvfs(database.parent)
        if disk.f_bavail * disk.f_frsize < LEAST_FREE:
            return "the disk is full"
        _write(database)
    except sqlite3.Error as error:
        return "" if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY") else str(error)
    except OSError as error:
        return error.strerror or "its directory cannot be read"
    return ""


def _write(database: Path) -> None:
    """Write a page without changing data: set the user_version, which only we use, to its present value."""
    uri = f"{database.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version={int(version)}")
        connection.execute("COMMIT")
