"""Limit how many rejections get a separate database row, and count the others.

If each rejection had a row and a write transaction, anyone could fill the disk and delay sign-ins. So a worker writes
full rows up to a limit, and after that a few rows per minute. It counts further rejections of the same kind in memory.
About once a second, it adds the count to one row of that kind. The limit is in bytes, because a stranger decides how
long a row is. A kind consists only of our own values (code, provider, event), never of input that a stranger can vary.

A worker that is killed loses the counts of its last second. A worker that shuts down normally loses no counts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

# Bytes in the database. One kind may write a thousand short rows at once, and 3 a minute. All kinds together may write
# twice as many.
KIND_BURST, KIND_PER_MINUTE = 384 * 1024, 1536
BURST, PER_MINUTE = 2 * KIND_BURST, 2 * KIND_PER_MINUTE
FLUSH_AFTER = 1.0  # seconds

log = logging.getLogger("lychgate")


class Allowance:
    """A token bucket: *burst* bytes, refilled by *per_minute*."""

    def __init__(self, burst: int, per_minute: int, now: float) -> None:
        self._burst, self._per_second = burst, per_minute / 60
        self._left, self._at = float(burst), now

    def has(self, size: int, now: float) -> bool:
        """Tell whether *size* bytes are left."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        return self._left >= size

    def take(self, size: int) -> None:
        """Take *size* bytes."""
        self._left -= size


class Budget:
    """Decides which rejections of this worker get a row."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._all = Allowance(BURST, PER_MINUTE, clock())
        self._kinds: dict[Hashable, Allowance] = {}

    def take(self, kind: Hashable, size: int) -> bool:
        """Tell whether another rejection of *kind* gets a full row of *size* bytes. If it does, count the bytes."""
        with self._lock:
            now = self._clock()
            own = self._kinds.setdefault(kind, Allowance(KIND_BURST, KIND_PER_MINUTE, now))
            if not (own.has(size, now) and self._all.has(size, now)):
                return False
            own.take(size)
            self._all.take(size)
            return True

    def give_back(self, kind: Hashable, size: int) -> None:
        """Return *size* bytes to the budget of *kind*, because the row was smaller than the size that was taken."""
        with self._lock:
            self._kinds[kind].take(-size)
            self._all.take(-size)


def size_of(fixed: int, *texts: str | None) -> int:
    """Estimate the bytes of a row: the *fixed* part, and its texts in UTF-8."""
    return fixed + sum(len(text.encode("utf-8", "replace")) for text in texts if text)


Key = TypeVar("Key", bound=Hashable)


class Sum(Protocol):
    """A value that can be increased by another value of the same class."""

    def add(self, more: Self, /) -> None:
        """Include *more*."""


Value = TypeVar("Value", bound=Sum)


class Later(Generic[Key, Value]):
    """Adds up values in memory, by key, and passes the sums to *write* about a second after the first value.

    If *write* raises, the sums are kept, and are written together with the next ones.
    """

    def __init__(self, write: Callable[[Mapping[Key, Value]], None], after: float = FLUSH_AFTER) -> None:
        self._write, self._after = write, after
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._sums: dict[Key, Value] = {}
        self._timer: threading.Timer | None = None

    def add(self, key: Key, value: Value) -> None:
        """Add *value* to the sum of *key*. The caller does not use *value* afterwards."""
        with self._lock:
            self._include(key, value)
            if self._timer is None:
                # Not a daemon thread: at exit the program waits for this thread, which writes the last sums.
                self._timer = threading.Timer(self._after, self.flush)
                self._timer.start()

    def flush(self) -> None:
        """Write the sums. If another thread has begun to write some, wait for it first."""
        with self._writing:
            with self._lock:
                sums, self._sums = self._sums, {}
                self._stop()
            if not sums:
                return
            try:
                self._write(sums)
            except Exception as error:
                log.error("counts could not be written; the next try includes them: %s", type(error).__name__)
                with self._lock:
                    for key, value in sums.items():
                        self._include(key, value)

    def pause(self) -> None:
        """Stop the timer, because the store was closed. The sums are kept. The next value starts the timer again."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _include(self, key: Key, value: Value) -> None:
        if (present := self._sums.get(key)) is None:
            self._sums[key] = value
        else:
            present.add(value)


@dataclass
class Count:
    """How often something happened, and the times of the first and last event, in seconds since 1970."""

    times: int
    first: int
    last: int

    def add(self, more: Count, /) -> None:
        """Include *more*."""
        self.times += more.times
        self.first, self.last = min(self.first, more.first), max(self.last, more.last)


class Tally(Later[Key, Count]):
    """Counts events in memory, and writes the counts about a second later, as `Later` does."""

    def count(self, key: Key, now: int, times: int = 1) -> None:
        """Add *times* events of *key* at the time *now*."""
        self.add(key, Count(times, now, now))
