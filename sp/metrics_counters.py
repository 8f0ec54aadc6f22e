"""Count events and measure durations for the metrics.

Each process has its own counters. Each worker of `run_sp.py` keeps its counters in a separate file, which is mapped
into memory. All the files are in one folder, so any worker that receives a request for /metrics can add them up. All
names and labels are fixed, so a request cannot add new ones.

A duration is counted in one of a few fixed buckets, and added to a sum in nanoseconds. There are very many protected
requests, and each takes only a short time. So only one decision in TIMED_EVERY is timed. The proportions between the
buckets stay correct, and the other requests read the clock only once.
"""

from __future__ import annotations

import mmap
import os
import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from shared.errors import REJECTIONS
from shared.private_files import make_private_folder
from sp.events import WORDS, WRONG_PASSWORD
from sp.policy.decision import Verdict

IN_PROCESS, ASGI, NGINX, FORWARD = "in process", "asgi", "nginx", "forward"
SKINS = (IN_PROCESS, ASGI, NGINX, FORWARD)
CODES = ("none", *REJECTIONS, WRONG_PASSWORD, "other")
EVENTS = (*WORDS, "other")
VERIFY, STORE, TOTAL = "verify", "store", "total"
READ, WRITE, REDIS = "database read", "database write", "redis"
# The timed operations, each with the values of its only label.
DECIDING, SIGNING_IN, STORING = "deciding", "signing in", "storing"
TIMED = {DECIDING: SKINS, SIGNING_IN: (VERIFY, STORE, TOTAL), STORING: (READ, WRITE, REDIS)}
_STEPS = (10_000, 25_000, 50_000, 100_000, 250_000, 500_000)
BOUNDS = (*_STEPS, *(100 * step for step in _STEPS), *(10_000 * step for step in _STEPS))  # ns, from 10 us to 5 s
TIMED_EVERY = 64  # decisions with the same verdict; a power of two
LONGER, SUM = "longer", "sum"
BUCKETS = (*map(str, BOUNDS), LONGER)
_SLOTS = (
    *(("decision", skin, verdict.words) for skin in SKINS for verdict in Verdict),
    *(("event", event, code) for event in EVENTS for code in CODES),
    ("session_query", "", ""),
    *((kind, label, part) for kind, labels in TIMED.items() for label in labels for part in (*BUCKETS, SUM)),
)


class Counters:
    """Integers that only grow. Each has a name and labels."""

    def __init__(self) -> None:
        self._index = {slot: position for position, slot in enumerate(_SLOTS)}
        self._values: Any = array("Q", bytes(8 * len(_SLOTS)))
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._file: Path | None = None

    def share(self, folder: Path) -> None:
        """Keep the counters of this process in a file in *folder*, which also has the files of the other workers."""
        make_private_folder(folder)
        self._folder, self._file = folder, folder / f"{os.getpid()}.counts"
        with self._file.open("w+b") as file:
            file.truncate(8 * len(_SLOTS))
            self._values = memoryview(mmap.mmap(file.fileno(), 8 * len(_SLOTS))).cast("Q")

    def decisions(self, skin: str) -> Callable[[int, int], None]:
        """Return the function that counts a verdict of the entry point *skin*.

        The arguments of the function are the verdict, and the value of `perf_counter_ns` when the request arrived. The
        function needs no lock, because CPython does not switch threads between its reading and writing. See
        `sp.rule_counters`.
        """
        first, untimed = self._index["decision", skin, Verdict.LET_IN.words], TIMED_EVERY - 1

        def count(verdict: int, began: int) -> None:
            values, position = self._values, first + verdict
            before = values[position]
            values[position] = before + 1
            if not before & untimed:
                self.duration(DECIDING, skin, perf_counter_ns() - began)

        return count

    def duration(self, kind: str, label: str, took: int) -> None:
        """Count an operation of TIMED that *took* this number of nanoseconds."""
        which = self._index[kind, label, BUCKETS[bisect_left(BOUNDS, took)]]
        total = self._index[kind, label, SUM]
        with self._lock:
            self._values[which] += 1
            self._values[total] += took

    @contextmanager
    def timing(self, kind: str, label: str) -> Iterator[None]:
        """Count how long the block takes, even if it fails, because a store that does not answer takes longest."""
        began = perf_counter_ns()
        try:
            yield
        finally:
            self.duration(kind, label, perf_counter_ns() - began)

    def event(self, event: str, code: str | None) -> None:
        """Count an event of the activity log."""
        event = event if event in EVENTS else "other"
        code = (code if code in CODES else "other") if code else "none"
        self._add("event", event, code)

    def session_query(self) -> None:
        """Count a session that was looked up in the database, because it was not in the cache."""
        self._add("session_query", "", "")

    def _add(self, *slot: str) -> None:
        position = self._index[slot]  # type: ignore[index]
        with self._lock:
            self._values[position] += 1

    def totals(self) -> Mapping[tuple[str, str, str], int]:
        """Return the sums over all workers, including workers that have ended since the program started."""
        totals = list(self._values)
        for file in self._folder.glob("*.counts") if self._folder else ():
            if file != self._file:
                others = array("Q", file.read_bytes()[: 8 * len(_SLOTS)])
                totals = [mine + theirs for mine, theirs in zip(totals, others, strict=False)]
        return dict(zip(_SLOTS, totals, strict=True))


counters = Counters()
"""The counters of this process."""
