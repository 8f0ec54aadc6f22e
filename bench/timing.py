"""Time two or more things in turns, so that a machine that slows down slows them all, and compare them round by round.

A row shows the spread of its rounds. A row is void if the spread is above a stated limit, or if it could not be
measured. A void row counts as not met.
"""

from __future__ import annotations

import gc
import math
import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

PAIRS = int(os.environ.get("BENCH_ROUNDS", "9"))  # rounds in which all take turns
MOST_SPREAD = 0.5  # of the median, between the lowest and the highest round
MET, MISSED, VOID, TOLD = "met", "missed", "void", "told"
NO_TARGET = math.inf  # as the highest value that meets the target: the row has no target

Name = TypeVar("Name")


class Rounds(float):
    """The median of the rounds, as a number.

    Division, multiplication and the subtraction of another value are done for each round, and keep all rounds.
    """

    values: tuple[float, ...]

    def __new__(cls, values: Iterable[float]) -> Rounds:
        """Take the results of all rounds, in their order."""
        found = tuple(values)
        made = super().__new__(cls, statistics.median(found))
        made.values = found
        return made

    @property
    def spread(self) -> float:
        """The distance between the lowest and the highest round, as a fraction of the median."""
        return (max(self.values) - min(self.values)) / abs(self) if self else float("inf")

    def each(self, calculate: Callable[[float, float], float], other: float) -> Rounds:
        """Calculate with *other* round by round. If *other* is a plain number, use it in each round."""
        others = other.values if isinstance(other, Rounds) else (float(other),) * len(self.values)
        return Rounds(calculate(mine, theirs) for mine, theirs in zip(self.values, others, strict=True))

    def __truediv__(self, other: float) -> Rounds:
        return self.each(lambda mine, theirs: mine / theirs, other)

    def __rtruediv__(self, other: float) -> Rounds:
        return self.each(lambda mine, theirs: theirs / mine, other)

    def __mul__(self, other: float) -> Rounds:
        return self.each(lambda mine, theirs: mine * theirs, other)

    __rmul__ = __mul__

    def __sub__(self, other: float) -> Rounds:
        return self.each(lambda mine, theirs: mine - theirs, other)


@dataclass(frozen=True)
class Row:
    """One line of the report: the measured value, its target (at least or at most), and how it was measured.

    If *value* is of type Rounds, the row can show its noise, the lowest and the highest round. *reason* says why
    nothing could be measured.
    """

    name: str
    value: float
    unit: str
    wanted: float
    at_most: bool = False
    note: str = ""
    most_spread: float = MOST_SPREAD
    reason: str = ""

    @property
    def rounds(self) -> tuple[float, ...]:
        """The result of each round. The tuple is empty if the value was measured once."""
        return self.value.values if isinstance(self.value, Rounds) else ()

    @property
    def void(self) -> str:
        """Why the result cannot be used, or an empty text if it can."""
        if self.reason:
            return self.reason
        if isinstance(self.value, Rounds) and not self.value.spread <= self.most_spread:
            return f"its rounds differ by {self.value.spread:.0%} of their median, more than {self.most_spread:.0%}"
        return ""

    @property
    def met(self) -> bool:
        """Whether the row meets its target. A void row does not."""
        return not self.void and (self.value <= self.wanted if self.at_most else self.value >= self.wanted)

    @property
    def verdict(self) -> str:
        """The outcome: void, met or missed. If the row has no target and is not void, it is "told"."""
        if self.void:
            return VOID
        if math.isinf(self.wanted):
            return TOLD
        return MET if self.met else MISSED

    @property
    def noise(self) -> str:
        """The lowest and the highest round and their number, "measured once", or "" if nothing was measured."""
        if self.reason:
            return ""
        if not self.rounds:
            return "measured once"
        return f"{min(self.rounds):.3g} to {max(self.rounds):.3g} in {len(self.rounds)} rounds"

    def __str__(self) -> str:
        mark = {MET: "ok", MISSED: "MISS", VOID: "VOID", TOLD: ""}[self.verdict]
        measured = "" if self.reason else f"{self.value:.2f}"
        wanted = "" if math.isinf(self.wanted) else f"(wanted {'<=' if self.at_most else '>='} {self.wanted:g})"
        more = "; ".join(part for part in (self.void, self.noise, self.note) if part)
        return f"{mark:<4} {self.name:<66} {measured:>8} {self.unit:<3} {wanted}   {more}"


def unmeasured(name: str, reason: str) -> Row:
    """Return a void row for something that could not be measured."""
    return Row(name, 0.0, "", NO_TARGET, at_most=True, reason=reason)


def told(name: str, value: float, unit: str, note: str = "", most_spread: float = math.inf) -> Row:
    """Return a row without a target. By default, the row is valid with any spread."""
    return Row(name, value, unit, NO_TARGET, at_most=True, note=note, most_spread=most_spread)


def per_call(actions: Mapping[str, Callable[[], object]], *, seconds: float = 0.08) -> dict[str, Rounds]:
    """Return the microseconds of processor time per call of each action, in PAIRS rounds in which they take turns.

    It measures processor time, because nothing in the process waits. So other programs on the machine influence the
    result less.
    """
    gc.collect()
    gc.freeze()  # as in the programs (`shared.collecting`): a collection then takes little time
    try:
        counts = {name: _calibrate(action, seconds) for name, action in actions.items()}
        return in_turns({name: partial(_time, action, counts[name]) for name, action in actions.items()})
    finally:
        gc.unfreeze()


def in_turns(measure: Mapping[Name, Callable[[], float]]) -> dict[Name, Rounds]:
    """Call each function once a round, in PAIRS rounds. Return what each of them measured."""
    found: dict[Name, list[float]] = {name: [] for name in measure}
    for _round in range(PAIRS):
        for name, action in measure.items():
            found[name].append(action())
    return {name: Rounds(values) for name, values in found.items()}


def _calibrate(action: Callable[[], object], seconds: float) -> int:
    _time(action, 20)
    return max(20, int(seconds * 1e6 / _time(action, 50)))


def _time(action: Callable[[], object], count: int) -> float:
    gc.collect()
    started = time.thread_time()
    for _ in range(count):
        action()
    return (time.thread_time() - started) / count * 1e6
