"""Send load from this process: from clients that wait for each answer, or as requests that arrive at fixed times.

A request at a fixed time is measured from the time at which it was due, not from the time at which it could be sent. So
if a server stops for a second, all requests of that second count as late, not only the few that it had accepted.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench.wire import SECONDS, Answer, Connection

CLIENTS = 32  # for requests at fixed times: at most this many requests run together
Accepts = Callable[[Answer], bool]


def at_once(port: int, requests: Sequence[bytes], accepts: Accepts, clients: int = 8) -> float:
    """Let *clients* send all *requests*; each client waits for its answer. Return the number of answers per second."""
    began = time.perf_counter()
    waits(port, requests, accepts, clients)
    return len(requests) / (time.perf_counter() - began)


def waits(port: int, requests: Sequence[bytes], accepts: Accepts, clients: int = 8) -> list[float]:
    """Let *clients* send all *requests*; each client waits for its answer. Return the seconds of each request."""

    def client(mine: Sequence[bytes]) -> list[float]:
        times = []
        with Connection(port) as connection:
            for request in mine:
                began = time.perf_counter()
                _check(connection.ask(request), accepts)
                times.append(time.perf_counter() - began)
        return times

    with ThreadPoolExecutor(clients) as pool:
        return [*itertools.chain.from_iterable(pool.map(client, [requests[n::clients] for n in range(clients)]))]


@dataclass(frozen=True)
class Arrivals:
    """The seconds from each request's due time to its answer, and how late it was sent although a client was free."""

    waits: list[float]
    late: list[float]


def arriving(port: int, requests: Sequence[bytes], accepts: Accepts, rate: float, clients: int = CLIENTS) -> Arrivals:
    """Send *requests* at a constant *rate* a second, even if the server is slow."""
    waited = [0.0] * len(requests)
    late: list[float] = []
    numbers = itertools.count()
    ready = threading.Barrier(clients + 1)
    began = 0.0

    def client() -> None:
        with Connection(port) as connection:
            connection.open()
            ready.wait(SECONDS)
            ready.wait(SECONDS)
            while (number := next(numbers)) < len(requests):
                due = began + number / rate
                if (pause := due - time.perf_counter()) > 0:
                    time.sleep(pause)
                    late.append(time.perf_counter() - due)
                _check(connection.ask(requests[number]), accepts)
                waited[number] = time.perf_counter() - due

    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(client) for _ in range(clients)]
        ready.wait(SECONDS)
        began = time.perf_counter() + 0.05
        ready.wait(SECONDS)
        for each in running:
            each.result()
    return Arrivals(waited, late)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest of *values* that at least *percent* percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _check(answer: Answer, accepts: Accepts) -> None:
    if not accepts(answer):
        raise AssertionError(f"an answer that was not expected:\n{answer.head.decode('latin-1')}")
