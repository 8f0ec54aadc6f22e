"""Compare how long it takes to spend a token on SQLite with 5,000,000 stored spent tokens, and with 10,000.

Each token is spent in a separate transaction with synchronous=FULL. For each spent token, one expired token is deleted.
The deletions run in steps of a hundred tokens, as in the clean-up. The two databases alternate: after each token, the
other database is measured.
"""

from __future__ import annotations

import secrets
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bench.timing import PAIRS, Rounds, Row
from shared.errors import TokenReplayed
from sp.components import Components
from sp.signin.replay import Spending, clean_up
from tests.support.gateway import core_of, make_gateway

FEW, MANY = 10_000, 5_000_000
A_ROUND = 300  # tokens
AT_A_TIME = 100  # entries that one transaction of the clean-up deletes
FILL = """
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :count)
INSERT INTO spent_token (key, expires_at) SELECT randomblob(16) AS k, :at + n % 300 FROM number ORDER BY k
"""


def rows() -> Iterator[Row]:
    """Fill both databases, and measure them in turns."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        few, many = _filled(Path(folder) / "few", FEW), _filled(Path(folder) / "many", MANY)
        times: dict[str, list[float]] = {"few": [], "many": []}
        for _round in range(PAIRS):
            spent: dict[str, list[float]] = {"few": [], "many": []}
            deleted: dict[str, list[float]] = {"few": [], "many": []}
            for number in range(A_ROUND):
                for name, core in (("few", few), ("many", many)):
                    spent[name].append(_spend(core))
                    if number % AT_A_TIME == AT_A_TIME - 1:
                        deleted[name].append(_clean_up(core))
            for name in times:
                times[name].append(statistics.median(spent[name]) + statistics.median(deleted[name]) / AT_A_TIME)
        for core in (few, many):
            core.database.engine.dispose()
    of_many, of_few = Rounds(times["many"]) * 1e6, Rounds(times["few"]) * 1e6
    note = f"{of_many:.0f} us, {of_few:.0f} us"
    yield Row(f"spending a token among {MANY:,}, of {FEW:,}", of_many / of_few, "x", 2.0, at_most=True, note=note)


def _filled(folder: Path, count: int) -> Components:
    core = core_of(make_gateway(folder))
    now = int(time.time())
    with closing(sqlite3.connect(str(core.database.engine.url.database), isolation_level=None)) as connection:
        connection.execute(FILL, {"count": count, "at": now + 3_600})
        connection.execute(FILL, {"count": PAIRS * A_ROUND + AT_A_TIME, "at": now - 3_600})
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    _spends_once(core)
    return core


def _spend(core: Components, key: bytes = b"") -> float:
    key = key or secrets.token_bytes(16)
    began = time.perf_counter()
    core.replay.spend(core.database, Spending(key, int(time.time()) + 3_600), lambda _connection: None)
    return time.perf_counter() - began


def _clean_up(core: Components) -> float:
    began = time.perf_counter()
    with core.database.writing() as connection:
        deleted = clean_up(int(time.time()), connection, AT_A_TIME)
    if deleted != AT_A_TIME:
        raise AssertionError(f"{deleted} entries were deleted")
    return time.perf_counter() - began


def _spends_once(core: Components) -> None:
    """Check that a token cannot be spent twice (the negative control)."""
    key = secrets.token_bytes(16)
    _spend(core, key)
    try:
        _spend(core, key)
    except TokenReplayed:
        return
    raise AssertionError("a token was spent twice")
