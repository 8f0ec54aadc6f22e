"""Wait for something that happens in another thread or process."""

import time
from collections.abc import Callable

LONGEST = 30  # seconds, which only something that never happens takes


def wait_until(happened: Callable[[], bool]) -> None:
    """Return when *happened* is true."""
    deadline = time.monotonic() + LONGEST
    while not happened():
        assert time.monotonic() < deadline, "this did not happen"
        time.sleep(0.005)
