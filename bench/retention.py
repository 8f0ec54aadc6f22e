"""Measure a flood of refusals and the clean-up of a large activity log on SQLite: disk space, and time per step.

The time of a step is the time of its write transaction, from the moment when the transaction has the lock to the end of
the commit. On a busy machine, read the processor time in the note, because the other figures include waits for a
processor.
"""

from __future__ import annotations

import logging
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert

from bench.timing import Row
from shared.errors import SignatureInvalid
from shared.tidying import tidy
from sp.activity import retention
from sp.activity.record import Visitor
from sp.components import Components
from sp.database.models import Activity
from tests.support.gateway import core_of, make_gateway

FLOOD = 100_000
LOG_ROWS = 60_000  # half of them expired: a day of a large site
DAY = 86_400


def rows() -> Iterator[Row]:
    """Measure the flood and the clean-up on a database in a temporary folder."""
    logging.getLogger("lychgate").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        core = core_of(make_gateway(Path(folder)))
        yield from _flood(core)
        yield from _clean_up(core)
        core.database.engine.dispose()


def _flood(core: Components) -> Iterator[Row]:
    before, began = _size(core), time.perf_counter()
    for number in range(FLOOD):
        visitor = Visitor(f"2001:db8::{number:x}", "x" * 200)
        core.logbook.note_refusal(SignatureInvalid(f"{number} " + "y" * 990), visitor, reference=f"R{number}")
    core.logbook.flush()
    each = (time.perf_counter() - began) / FLOOD * 1e6
    grown = (_size(core) - before) / 1024 / 1024
    yield Row(f"{FLOOD} refusals in the log", grown, "MiB", 2.0, at_most=True, note=f"{each:.0f} µs each")


def _clean_up(core: Components) -> Iterator[Row]:
    _fill(core)
    steps = [*retention.steps(core.database, int(time.time()), 90, most=LOG_ROWS // 4)]
    times: list[float] = []
    busy: list[float] = []
    began = time.perf_counter()
    tidy(lambda: timed(core, times, busy), steps, seconds=600)
    took = time.perf_counter() - began
    times.sort()
    middle, last = statistics.median(times) * 1e3, times[int(len(times) * 0.99)] * 1e3
    note = (
        f"median {middle:.1f} ms, longest {times[-1] * 1e3:.1f} ms, processor time at most {max(busy) * 1e3:.1f} ms, "
    )
    note += f"{len(times)} steps, {took:.0f} s"
    yield Row("clean-up: 99 of 100 write transactions end within", last, "ms", 20.0, at_most=True, note=note)


def _fill(core: Components) -> None:
    now = int(time.time())
    lines = [
        {
            "reference": f"L{n * 7919 % LOG_ROWS}",
            "at": now - (180 * DAY if n < LOG_ROWS // 2 else 0),
            "event": "refused" if n % 2 else "sign_in",
            "code": "token_expired" if n % 2 else None,
            "provider": "corporate",
            "subject": f"person-{n * 104_729 % 50_000}",
            "email": f"person-{n * 104_729 % 50_000}@example.com",
            "account_id": n * 104_729 % 50_000,
            "address": "192.0.2.1",
            "user_agent": "x" * 120,
        }
        for n in range(LOG_ROWS)
    ]
    table: Any = Activity.__table__
    with core.database.engine.execution_options(write=True).begin() as connection:
        connection.execute(insert(table), lines)


@contextmanager
def timed(core: Components, times: list[float], busy: list[float]) -> Iterator[Connection]:
    """Open the write transaction of a clean-up step, and add its seconds to *times* and *busy* (processor time)."""
    with core.database.engine.execution_options(write=True).connect() as connection:
        transaction = connection.begin()
        began, began_busy = time.perf_counter(), time.thread_time()
        yield connection
        transaction.commit()
        times.append(time.perf_counter() - began)
        busy.append(time.thread_time() - began_busy)


def _size(core: Components) -> int:
    path: Any = core.database.engine.url.database
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Path(path).stat().st_size
