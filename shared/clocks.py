"""Compare our clock with a store's, and warn the operator before a difference causes rejections.

The clock of a store does not decide anything: the machine that receives a token uses its own clock to verify it and to
remember that it was used. But if the two clocks differ, one of them is wrong. If the gateway's clock is wrong by more
than a provider's `clock_skew`, the gateway rejects valid tokens.
"""

from __future__ import annotations

from collections.abc import Callable

from shared.clock import time_now

WORTH_SAYING = 5  # seconds; NTP keeps clocks within a tenth of a second


def seconds_ahead(ask: Callable[[], float], clock: Callable[[], float] = time_now) -> float:
    """Return by how many seconds the store's clock is ahead of *clock*. If it is behind, the result is negative.

    *ask* gets the time from the store. The store read its clock at some time between our question and its answer. The
    clocks count as different only if the store's time is outside of the interval between these two moments. So a slow
    network causes no warning.
    """
    before = clock()
    theirs = ask()
    after = clock()
    if theirs > after:
        return theirs - after
    return min(0.0, theirs - before)


def complaint(name: str, ahead: float) -> str | None:
    """Return the warning for a store whose clock is *ahead* seconds ahead, or None if no warning is needed."""
    if abs(ahead) <= WORTH_SAYING:
        return None
    direction = "ahead of" if ahead > 0 else "behind"
    return f"clock: {name} is {abs(ahead):.0f} seconds {direction} this machine; set both by NTP"
