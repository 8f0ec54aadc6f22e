"""Measure how near an accepted sign-in was to a rejection.

Four values are measured. They are stored without regard to the provider's settings. The code that reads them applies
the settings, so a changed setting also applies to earlier hours.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.claims import Claims

HOUR = 3600  # seconds

AHEAD = "ahead"  # seconds by which iat, or a later nbf, is ahead of our clock; negative if behind
AGE = "age"  # seconds since iat
LEFT = "left"  # seconds until exp
SIZE = "size"  # bytes of the token


@dataclass
class Spread:
    """Several values of one quantity."""

    times: int
    least: float
    most: float
    total: float

    def add(self, more: Spread) -> None:
        """Include *more*."""
        self.times += more.times
        self.least, self.most = min(self.least, more.least), max(self.most, more.most)
        self.total += more.total


@dataclass
class Spreads:
    """The spread of each quantity."""

    by_quantity: dict[str, Spread]

    @classmethod
    def of(cls, values: Mapping[str, float]) -> Spreads:
        """Return the spreads of one sign-in."""
        return cls({quantity: Spread(1, value, value, value) for quantity, value in values.items()})

    def add(self, more: Spreads, /) -> None:
        """Include *more*."""
        for quantity, spread in more.by_quantity.items():
            if (present := self.by_quantity.get(quantity)) is None:
                self.by_quantity[quantity] = spread
            else:
                present.add(spread)


def measure(claims: Claims, at: float, size: int) -> dict[str, float]:
    """Return the value of each quantity for a token of *size* bytes that arrived *at*, in seconds since 1970.

    A quantity whose claim is missing is left out.
    """
    values = {SIZE: float(size)}
    starts = [moment for moment in (claims.issued_at, claims.not_before) if moment is not None]
    if starts:
        values[AHEAD] = max(starts) - at
    if claims.issued_at is not None:
        values[AGE] = at - claims.issued_at
    if claims.expires_at is not None:
        values[LEFT] = claims.expires_at - at
    return values
