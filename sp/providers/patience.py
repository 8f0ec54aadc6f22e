"""Limit how long a request may wait for JWKS URLs, and how many requests may wait at once.

Anyone can send a token that names an unknown key, and so make its request wait for a JWKS URL. If that URL hangs, such
tokens must not occupy all threads of a worker. Every request may wait for a fetch that has just begun, because it
usually ends soon. After that only a few may wait, for all URLs together.
"""

from __future__ import annotations

import threading
import time

MOST_SECONDS = 4.0  # one request waits at most this long, for all URLs together
GLANCE = 0.5  # seconds from the beginning of a fetch during which everyone may wait
WAITERS = 4  # so many requests per worker may wait longer

_places = threading.BoundedSemaphore(WAITERS)


class Patience:
    """The seconds that one request may still wait."""

    def __init__(self, seconds: float = MOST_SECONDS) -> None:
        self._left = seconds

    def wait(self, fetched: threading.Event, glance: float, at_most: float) -> bool | None:
        """Wait *glance* seconds. Then wait up to *at_most* more, unless too many requests wait already.

        Return whether *fetched* is set, or None if too many requests wait.
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
