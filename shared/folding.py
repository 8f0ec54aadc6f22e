"""Decide which rejections get a row each, and count the others, when they come too fast.

A row and a write transaction for each rejection would let anyone fill the disk and delay sign-ins. So a worker writes
full rows up to a limit, and after that a few rows per minute. Further rejections of the same kind are counted in
memory, and the count is added to one row about once a second. The limit is in bytes, because a stranger decides how
long a row is. A kind consists only of our own values (code, provider, event), never of input that a stranger can vary.
A worker that is killed loses the counts of its last second; one that shuts down normally does not.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

# Bytes in the database: a thousand short rows at once, and 3 a minute, of one kind; twice that of all kinds together.
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
        """Tell whether another rejection of *kind*, of *size* bytes, gets a full row, and count its bytes if so."""
        with self._lock:
            now = self._clock()
            own = self._kinds.setdefault(kind, Allowance(KIND_BURST, KIND_PER_MINUTE, now))
            if not (own.has(size, now) and self._all.has(size, now)):
                return False
            own.take(size)
            self._all.take(size)
            return True


def size_of(fixed: int, *texts: str | None) -> int:
    """Estimate the bytes of a row: a *fixed* number, and its texts in UTF-8."""
    return fixed + sum(len(text.encode("utf-8", "replace")) for text in texts if text)


Key = TypeVar("Key", bound=Hashable)


class Sum(Protocol):
    """A value that others of its kind are added to."""

    def add(self, more: Self, /) -> None:
        """Include *more*."""


Value = TypeVar("Value", bound=Sum)


class Later(Generic[Key, Value]):
    """Sums in memory by key, and passes the sums to *write* about a second after the first value.

    *write* may raise: then the sums are kept, and written together with the next ones.
    """

    def __init__(self, write: Callable[[Mapping[Key, Value]], None], after: float = FLUSH_AFTER) -> None:
        self._write, self._after = write, after
        self._lock = threading.Lock()
        self._sums: dict[Key, Value] = {}
        self._timer: threading.Timer | None = None

    def add(self, key: Key, value: Value) -> None:
        """Add *value* to the sum of *key*. The caller does not use *value* afterwards."""
        with self._lock:
            self._include(key, value)
            if self._timer is None:
                # Not a daemon thread: at its end the program waits for it, and so writes its last sums.
                self._timer = threading.Timer(self._after, self.flush)
                self._timer.start()

    def flush(self) -> None:
        """Write the sums."""
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
        """Write nothing until the next value comes, because the store has been closed. The sums are kept."""
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
    """How often something happened, and when first and last, in seconds since 1970."""

    times: int
    first: int
    last: int

    def add(self, more: Count, /) -> None:
        """Include *more*."""
        self.times += more.times
        self.first, self.last = min(self.first, more.first), max(self.last, more.last)


class Tally(Later[Key, Count]):
    """Counts in memory, and writes the counts as `Later` says."""

    def count(self, key: Key, now: int, times: int = 1) -> None:
        """Count *times* more of *key*."""
        self.add(key, Count(times, now, now))
