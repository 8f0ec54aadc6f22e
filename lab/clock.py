"""Move the clock of both programs in the process of a test, without changing the system's clock."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared import clock


class Clock:
    """The time of day for all parts of Lychgate in this process: token ages, sessions, throttling, clean-up.

    The clock keeps running at its usual speed. A browser deletes its cookies by the system's clock, but this clock
    decides whether the sessions of these cookies are valid.
    """

    def tick(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Move the clock forward at once; negative values move it back."""
        clock.ahead += timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()

    def time(self) -> float:
        """Return the time in seconds since 1970."""
        return clock.time_now()

    def now(self) -> datetime:
        """Return the time as an aware datetime in UTC."""
        return clock.utc_now()

    def reset(self) -> None:
        """Show the system's time again."""
        clock.ahead = 0.0
