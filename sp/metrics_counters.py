"""Count events for the metrics.

Counters belong to a process. Where `run_sp.py` serves with several workers, each keeps its counters in a separate file
in one folder, mapped into memory. So any worker that receives a request for /metrics can add all of them up. What
is counted is known beforehand: a request cannot supply a name or label.
"""

from __future__ import annotations

import mmap
import os
import threading
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shared.errors import REJECTIONS
from shared.private_files import make_private_folder
from sp.events import WORDS, WRONG_PASSWORD
from sp.policy.decision import Verdict

IN_PROCESS, NGINX, FORWARD = "in process", "nginx", "forward"
CODES = ("none", *REJECTIONS, WRONG_PASSWORD, "other")
EVENTS = (*WORDS, "other")
_SLOTS = (
    *(("decision", skin, verdict.words) for skin in (IN_PROCESS, NGINX, FORWARD) for verdict in Verdict),
    *(("event", event, code) for event in EVENTS for code in CODES),
    ("session_query", "", ""),
)


class Counters:
    """Integers that only grow, by name and labels."""

    def __init__(self) -> None:
        self._index = {slot: position for position, slot in enumerate(_SLOTS)}
        self._values: Any = array("Q", bytes(8 * len(_SLOTS)))
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._file: Path | None = None

    def share(self, folder: Path) -> None:
        """Keep the counters of this process in a file of *folder*, beside those of the other workers."""
        make_private_folder(folder)
        self._folder, self._file = folder, folder / f"{os.getpid()}.counts"
        with self._file.open("w+b") as file:
            file.truncate(8 * len(_SLOTS))
            self._values = memoryview(mmap.mmap(file.fileno(), 8 * len(_SLOTS))).cast("Q")

    def decisions(self, skin: str) -> Callable[[int], None]:
        """Return the function that counts a verdict of the entry point *skin*."""
        first = self._index["decision", skin, Verdict.LET_IN.words]

        def count(verdict: int) -> None:
            with self._lock:
                self._values[first + verdict] += 1

        return count

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
        """Return the sum over all workers, including those that have ended since the start."""
        totals = list(self._values)
        for file in self._folder.glob("*.counts") if self._folder else ():
            if file != self._file:
                others = array("Q", file.read_bytes()[: 8 * len(_SLOTS)])
                totals = [mine + theirs for mine, theirs in zip(totals, others, strict=False)]
        return dict(zip(_SLOTS, totals, strict=True))


counters = Counters()
"""Those of this process."""
