"""Remember for some seconds that a store hangs, so that one caller waits for it and the others are refused at once.

A store that hangs costs each caller its whole timeout, and the threads of a worker are few. The first callers to time
out open the breaker. While it is open nobody asks the store; after *rest* seconds one caller asks again, alone. Its
answer closes the breaker for all; if it times out as well, the rest begins again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.errors import StoreUnavailable


class Breaker:
    """Stands before the store *name*. *hangs* are the exceptions that mean: it did not answer in time.

    Every caller needs a timeout, the probe too: the breaker itself interrupts nothing. Any number of threads may ask.
    """

    def __init__(
        self,
        name: str,
        hangs: tuple[type[Exception], ...],
        *,
        rest: float = 2.0,  # seconds
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._hangs, self._rest, self._clock = name, hangs, rest, clock
        self._lock = threading.Lock()
        self._ask_again_at: float | None = None  # None: closed
        self._probing = False

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask the store within this, or get StoreUnavailable at once because it hung a moment ago."""
        is_probe = self._admit()
        hung = False
        try:
            yield
        except self._hangs:
            hung = True
            raise
        finally:
            self._note(hung, is_probe)

    def _admit(self) -> bool:
        """Return whether this caller is the probe. Raises StoreUnavailable for the others while it is open."""
        with self._lock:
            if self._ask_again_at is None:
                return False
            if self._probing or self._clock() < self._ask_again_at:
                raise StoreUnavailable(f"{self._name} did not answer a moment ago, and is asked again soon")
            self._probing = True
            return True

    def _note(self, hung: bool, is_probe: bool) -> None:
        with self._lock:
            self._ask_again_at = self._clock() + self._rest if hung else None
            if is_probe:
                self._probing = False
