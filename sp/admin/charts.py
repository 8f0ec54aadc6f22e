"""Lay out charts as SVG on the server, without scripts and without inline style, which the CSP forbids.

Coordinates are in the units of the viewBox; the stylesheet scales and colours the chart. Each chart also has its
numbers as a table.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

WIDTH, HEIGHT = 400, 170
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 10, 24  # room for the labels of the axes
MOST_TICKS = 4
GAP = 0.2  # between bars, as a fraction of a bar's place
Span = tuple[float, float]


@dataclass(frozen=True)
class Tick:
    """A label of an axis, and its position."""

    at: float
    label: str


@dataclass(frozen=True)
class Band:
    """The least, mean and greatest of several values at one time, in seconds since 1970, and their number."""

    at: float
    least: float
    mean: float
    most: float
    times: int


@dataclass(frozen=True)
class LineChart:
    """The mean as a line, with a band from least to greatest, and a limit.

    `limit_y` is None if the limit is far away. A single value makes no line, so `point` is its position.
    """

    line: str
    band: str
    point: tuple[float, float] | None
    limit_y: float | None
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Bar:
    """One rectangle; `series` is the number of its series."""

    x: float
    y: float
    width: float
    height: float
    series: int
    label: str


@dataclass(frozen=True)
class BarChart:
    """Stacked bars over time."""

    bars: tuple[Bar, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def line_chart(bands: Sequence[Band], limit: float, begins: float, ends: float) -> LineChart:
    """Return the chart of *bands*, at least one, from *begins* to *ends*, in seconds since 1970.

    The limit is left out if it is so far away that the line would look flat.
    """
    low, high = min(band.least for band in bands), max(band.most for band in bands)
    middle, reach = (low + high) / 2, 4 * max(high - low, 1.0)
    seen = abs(limit - middle) <= max(reach, 60.0)
    if seen:
        low, high = min(low, limit), max(high, limit)
    values = _nice(low, high)
    y_span, x_span = (values[0], values[-1]), (begins, ends)
    above = [(band.at, band.most) for band in bands]
    below = [(band.at, band.least) for band in reversed(bands)]
    return LineChart(
        line=_points(((band.at, band.mean) for band in bands), x_span, y_span),
        band=_points([*above, *below], x_span, y_span),
        point=(_x(bands[0].at, x_span), _y(bands[0].mean, y_span)) if len(bands) == 1 else None,
        limit_y=_y(limit, y_span) if seen else None,
        x_ticks=tuple(_days(x_span)),
        y_ticks=tuple(Tick(_y(value, y_span), f"{value:,g}") for value in values),
    )


def bar_chart(columns: Sequence[tuple[str, Mapping[int, int]]], tick_every: int) -> BarChart:
    """Return the chart of *columns*. Each has a label, and a count by the number of each series, from the bottom up."""
    highest = max((sum(counts.values()) for _label, counts in columns), default=0)
    values = [value for value in _nice(0, max(highest, 1)) if value == int(value)]
    y_span = (0.0, values[-1])
    place = (WIDTH - LEFT - RIGHT) / max(len(columns), 1)
    bars, ticks = [], []
    for number, (label, counts) in enumerate(columns):
        x, height = LEFT + number * place, 0
        for series, count in sorted(counts.items()):
            if count:
                top, bottom = _y(height + count, y_span), _y(height, y_span)
                size = (round(place * (1 - GAP), 1), round(max(bottom - top, 0.5), 1))
                bars.append(Bar(round(x + place * GAP / 2, 1), top, *size, series, f"{label}: {count:,}"))
                height += count
        if number % tick_every == 0:
            ticks.append(Tick(round(x + place / 2, 1), label))
    y_ticks = tuple(Tick(_y(value, y_span), f"{value:,.0f}") for value in values)
    return BarChart(tuple(bars), tuple(ticks), y_ticks)


def _points(values: Iterable[tuple[float, float]], x_span: Span, y_span: Span) -> str:
    return " ".join(f"{_x(x, x_span)},{_y(y, y_span)}" for x, y in values)


def _x(value: float, span: Span) -> float:
    return round(LEFT + (value - span[0]) / (span[1] - span[0]) * (WIDTH - LEFT - RIGHT), 1)


def _y(value: float, span: Span) -> float:
    return round(HEIGHT - BOTTOM - (value - span[0]) / (span[1] - span[0]) * (HEIGHT - TOP - BOTTOM), 1)


def _nice(low: float, high: float) -> list[float]:
    """Return a few round values, in equal steps, that enclose *low* and *high*."""
    spread = max(high - low, 1.0)
    power = 10.0 ** math.floor(math.log10(spread / MOST_TICKS))
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if spread / (power * factor) <= MOST_TICKS)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 9) for number in range(first, max(last, first + 1) + 1)]


def _days(span: Span) -> Iterable[Tick]:
    """Yield a tick for the beginning of each day in UTC. If there are more than five days, leave days out."""
    day = 86_400
    first = math.ceil(span[0] / day) * day
    step = day * max(1, math.ceil((span[1] - span[0]) / day / 5))
    for moment in range(int(first), int(span[1]), step):
        yield Tick(_x(moment, span), f"{datetime.fromtimestamp(moment, UTC):%d %b}")
