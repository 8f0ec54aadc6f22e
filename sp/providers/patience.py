"""Limit how long a request may wait for JWKS URLs, and how many requests may wait at once.

Anyone can send a token that names an unknown key. The request with this token then waits for a JWKS URL. If that URL
does not answer, such requests must not occupy all threads of a worker. Every request may wait for a fetch that has just
begun, because a fetch usually ends soon. After that, only a few requests may continue to wait, for all URLs together.
"""

from __future__ import annotations

import threading
import time

MOST_SECONDS = 4.0  # one request waits at most this long, for all URLs together
GLANCE = 0.5  # seconds from the beginning of a fetch during which everyone may wait
WAITERS = 4  # requests per worker that may wait longer than that

_places = threading.BoundedSemaphore(WAITERS)


class Patience:
    """The number of seconds that one request may still wait."""

    def __init__(self, seconds: float = MOST_SECONDS) -> None:
        self._left = seconds

    def wait(self, fetched: threading.Event, glance: float, at_most: float) -> bool | None:
        """Wait up to *glance* seconds for *fetched*, then up to *at_most* seconds more.

        The second wait is possible only if fewer than WAITERS requests are in it. Both together last at most as long as
        this request may still wait.

        Return whether *fetched* is set, or None if too many requests were already waiting.
        """
        if self._wait(fetched, glance):
            return True
        if not _places.acquire(blocking=False):
            return None
        try:
            return self._wait(fetched, at_most)
        finally:
            _places.release()

    def _wait(self, fetched: threading.Event, seconds: float) -> bool:
        began = time.monotonic()
        try:
            return fetched.wait(max(0.0, min(seconds, self._left)))
        finally:
            self._left -= time.monotonic() - began
