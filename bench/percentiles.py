"""Measure how long people wait if requests arrive at even intervals, at a fraction of the highest rate.

Each wait counts from the due time of the request. The highest rate is the rate that eight clients reach if each waits
for its answer before it sends the next request. The 95th and higher percentiles are computed from all rounds together.
The row with a target is computed for each round separately.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.arrivals import Accepts, arriving, at_once, percentile
from bench.gateways import is_allowed, is_signed_in, start_gateway
from bench.proxies import start_static
from bench.timing import PAIRS, Rounds, Row, told
from bench.wire import get

PARTS = (25, 50, 75, 90)  # percent of the highest rate
HALF = 50
SECONDS = 2.0  # of a round at each part
FIRST = 400  # requests in each round that determine the highest rate
PERCENTILES = (50, 95, 99, 99.9)
MOST_SPREAD = 2.0  # of a ratio of two percentiles of a round


@dataclass
class Load:
    """One kind of request and its measurements: the waits of each round, by the percentage of the highest rate."""

    name: str
    port: int
    requests: Callable[[int], Sequence[bytes]]
    accepts: Accepts
    highest: list[float] = field(default_factory=list)
    waits: dict[int, list[list[float]]] = field(default_factory=lambda: {part: [] for part in PARTS})

    def measure(self) -> None:
        """Do one round."""
        self.highest.append(at_once(self.port, self.requests(FIRST), self.accepts))
        for part in PARTS:
            self.arrive(part, Rounds(self.highest) * part / 100)

    def arrive(self, part: int, rate: float) -> None:
        """Do one round at *rate* requests per second. Store its waits under *part*, in percent of the highest rate."""
        found = arriving(self.port, self.requests(max(50, int(rate * SECONDS))), self.accepts, rate)
        self.waits[part].append([wait * 1e3 for wait in found.waits])

    def row(self, part: int) -> Row:
        """Return the percentiles at *part* of the highest rate."""
        everything = [wait for waits in self.waits[part] for wait in waits]
        note = ", ".join(f"p{percent:g} {percentile(everything, percent):.1f}" for percent in PERCENTILES[1:])
        median = Rounds(percentile(waits, 50) for waits in self.waits[part])
        return told(f"{self.name} at {part} % of the highest rate: median", median, "ms", f"{note} ms")

    def p99(self, part: int) -> float:
        """Return the 99th percentile in milliseconds, of all rounds."""
        return percentile([wait for waits in self.waits[part] for wait in waits], 99)

    def tail(self, part: int) -> Rounds:
        """Return the 99th percentile of each round, as a multiple of its median."""
        return Rounds(percentile(waits, 99) / percentile(waits, 50) for waits in self.waits[part])


def rows() -> Iterator[Row]:
    """Measure forward-auth requests and sign-ins, in turns."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        gateway = start_gateway(stack, Path(folder) / "gateway")
        questions = Load("forward-auth", gateway.port, lambda count: [gateway.question()] * count, is_allowed)
        sign_ins = Load("sign-in", gateway.port, gateway.sign_ins, is_signed_in)
        static = start_static(stack, Path(folder))
        itself = Load("a file of nginx", static, lambda count: [get("/page.txt", static, {})] * count, is_allowed)
        for _round in range(PAIRS):
            questions.measure()
            sign_ins.measure()
            itself.arrive(HALF, Rounds(questions.highest) * HALF / 100)
    yield Row(
        "p99 of forward-auth at half the highest rate, of its median", questions.tail(HALF), "x", 4.0, at_most=True,
        most_spread=MOST_SPREAD, reason=_why_not_believed(questions.p99(HALF), itself.p99(HALF)),
    )  # fmt: skip
    for load in (questions, sign_ins):
        yield told(f"{load.name}: highest rate of eight clients that wait", Rounds(load.highest), "/s")
        yield from map(load.row, PARTS)
    row = itself.row(HALF)
    yield replace(row, name="what the client itself takes: a file of nginx at half the rate of forward-auth: median")


def _why_not_believed(measured: float, own: float) -> str:
    """Return why this machine or the client may have caused the tail, or an empty text."""
    if own <= measured / 2:
        return ""
    return f"a file of nginx took {own:.1f} ms at the same rate (p99), more than half of the {measured:.1f} ms measured"
