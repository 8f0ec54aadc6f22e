"""Cache the sessions that a worker has read. The caller decides whether a cached session is still valid.

Every protected request reads the cache, so reading works without a lock. A full cache drops only its oldest entries. If
all entries were dropped, the next requests of all people would read the database at the same moment.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

MAX_CACHED = 20_000  # sessions that a worker caches; they take about 40 MB if profiles have an ordinary size


class NotCached(Exception):
    """The session is not in the cache, and the caller must not wait for the database."""


class Reading(Protocol):
    """A session as it was last read from the database."""

    @property
    def id_hash(self) -> bytes: ...


T = TypeVar("T", bound=Reading)


class SessionCache(Generic[T]):
    """At most *limit* sessions by the hash of their id."""

    def __init__(self, limit: int = MAX_CACHED) -> None:
        self._limit = limit
        self._readings: dict[bytes, T] = {}  # the session that was read first comes first
        self.get: Callable[[bytes], T | None] = self._readings.get
        """Return the session as it was last read, or None."""
        self._changing = threading.Lock()

    def __len__(self) -> int:
        return len(self._readings)

    def put(self, reading: T) -> None:
        """Store *reading*, a session as it was read. It replaces an earlier reading of the same session."""
        with self._changing:
            self._readings.pop(reading.id_hash, None)
            while len(self._readings) >= self._limit:
                del self._readings[next(iter(self._readings))]
            self._readings[reading.id_hash] = reading

    def drop(self, id_hash: bytes) -> None:
        """Forget one session."""
        with self._changing:
            self._readings.pop(id_hash, None)

    def clear(self) -> None:
        """Forget all sessions."""
        with self._changing:
            self._readings.clear()
