"""Time two or more things in turns, so that a machine that slows down slows them all, and compare medians."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

PAIRS = 9


@dataclass(frozen=True)
class Row:
    """One line of the report: a ratio, what it should be at least (or at most), and how it was measured."""

    name: str
    value: float
    unit: str
    wanted: float
    at_most: bool = False
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the row is as good as wanted."""
        return self.value <= self.wanted if self.at_most else self.value >= self.wanted

    def __str__(self) -> str:
        sign = "<=" if self.at_most else ">="
        verdict = "ok  " if self.met else "MISS"
        note = f"   {self.note}" if self.note else ""
        return f"{verdict} {self.name:<66} {self.value:8.2f} {self.unit:<3} (wanted {sign} {self.wanted:g}){note}"


def per_call(actions: Mapping[str, Callable[[], object]], *, seconds: float = 0.08) -> dict[str, float]:
    """Return the median microseconds per call of each action, over PAIRS rounds in which they take turns."""
    counts = {name: _calibrate(action, seconds) for name, action in actions.items()}
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _round in range(PAIRS):
        for name, action in actions.items():
            times[name].append(_time(action, counts[name]))
    return {name: statistics.median(found) for name, found in times.items()}


def _calibrate(action: Callable[[], object], seconds: float) -> int:
    _time(action, 20)
    return max(20, int(seconds * 1e6 / _time(action, 50)))


def _time(action: Callable[[], object], count: int) -> float:
    gc.collect()
    started = time.perf_counter()
    for _ in range(count):
        action()
    return (time.perf_counter() - started) / count * 1e6
