"""Reject requests at once while a store does not answer, instead of letting them wait (a circuit breaker).

The breaker watches the pending queries (statements, connection attempts, waits for a lock) and the time of the last
answer. One slow query is not a fault. If the store answers no query at all, the breaker opens: it allows at most one
request a second, as a test. The first answer closes the breaker again. An error counts as an answer, because a store
that sends an error does not hang.

Pure code: it does no I/O, and the caller passes the clock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

STALL = 1.0  # seconds without any answer, after which the store counts as hanging
STALL_WHEN_FULL = 0.2  # seconds; used instead of STALL while PLACES queries are pending, to keep threads free
TEST_EVERY = 1.0  # seconds between two requests that are allowed through to a store in trouble
PLACES = 12  # pending queries; a worker has 16 threads (shared/serving.py), so four can always answer


class StoreHangs(Exception):
    """The store has not answered for a while, and this request does not wait for it."""


class Breaker:
    """Watches one store, for all threads of a process. *clock* returns monotonic seconds."""

    def __init__(
        self, clock: Callable[[], float], places: int = PLACES, stall_when_full: float = STALL_WHEN_FULL
    ) -> None:
        self._clock, self._places, self._stall_when_full = clock, places, stall_when_full
        self._lock = threading.Lock()
        self._tickets = count()
        self._out: dict[int, float] = {}  # when each query was sent, oldest first
        self._answered_at = self._tested_at = float("-inf")
        self._failed = False  # a query timed out, and none was answered since it was sent

    @contextmanager
    def asking(self, hangs: tuple[type[Exception], ...]) -> Iterator[None]:
        """Run one query inside this block. *hangs* are the exceptions that mean "no answer in time".

        If `admit` rejects the request, this method raises StoreHangs at once, and the block does not run.
        """
        self.admit()
        ticket = self.asked()
        try:
            yield
        except hangs:
            self.gave_up(ticket)
            raise
        except BaseException:
            self.answered(ticket)
            raise
        self.answered(ticket)

    def admit(self) -> None:
        """Allow this request to use the store, or raise StoreHangs. Call this method before the first query."""
        with self._lock:
            now = self._clock()
            if self._is_full(now) or (self._in_trouble(now) and now - self._tested_at < TEST_EVERY):
                raise StoreHangs
            if self._in_trouble(now):
                self._tested_at = now

    def check(self) -> None:
        """Raise StoreHangs while the store does not answer.

        Call this method for a request that was admitted and still waits for a connection.
        """
        with self._lock:
            now = self._clock()
            if self._is_full(now) or self._in_trouble(now):
                raise StoreHangs

    def asked(self) -> int:
        """Record a query to the store. Return its ticket, to be passed to `answered`, `gave_up` or `withdrew`."""
        with self._lock:
            ticket = next(self._tickets)
            self._out[ticket] = self._clock()
            return ticket

    def answered(self, ticket: int) -> None:
        """Record an answer, or an error that the store sent."""
        with self._lock:
            del self._out[ticket]
            self._answered_at = self._clock()
            self._failed = False

    def gave_up(self, ticket: int) -> None:
        """Record a timeout. If other queries were answered meanwhile, the store does not hang."""
        with self._lock:
            if self._out.pop(ticket) >= self._answered_at:
                self._failed = True
                self._tested_at = self._clock()

    def withdrew(self, ticket: int) -> None:
        """Remove a pending query that ended without an answer and without a timeout, because it was only sent."""
        with self._lock:
            del self._out[ticket]

    def _in_trouble(self, now: float) -> bool:
        return self._failed or self._stalled(now) >= STALL

    def _is_full(self, now: float) -> bool:
        return len(self._out) >= self._places and self._stalled(now) >= self._stall_when_full

    def _stalled(self, now: float) -> float:
        """Return for how many seconds queries have been pending without any answer."""
        oldest = next(iter(self._out.values()), now)
        return now - max(oldest, self._answered_at)
