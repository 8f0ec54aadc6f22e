"""Move the clock of both programs in the process of a test, without touching the system's."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared import clock


class Clock:
    """The time of day for all that this process runs of Lychgate: token ages, sessions, throttling, clean-up.

    It goes on at its usual speed. A browser keeps its cookies by the system's clock; what they are worth is decided by
    this one.
    """

    def tick(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Let so much time pass at once; less than 0 goes back."""
        clock.ahead += timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()

    def time(self) -> float:
        """Return what the clock shows, in seconds since 1970."""
        return clock.time_now()

    def now(self) -> datetime:
        """Return what the clock shows, as an aware datetime in UTC."""
        return clock.utc_now()

    def reset(self) -> None:
        """Show the system's time again."""
        clock.ahead = 0.0
