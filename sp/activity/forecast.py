"""Say when a quantity that rises towards its limit will reach it.

The trend is the median of the slopes between all pairs of points (Theil and Sen). Up to a quarter of the points may be
outliers without moving it. False alarms must be rare, because administrators soon ignore them. So a rise counts as a
trend only if all of this holds:

- there are at least MIN_POINTS points;
- a line fits the points much better than one step between two levels. Noise fits neither. If tokens have had more
  claims since Tuesday, that is a step, which does not predict a day;
- the latest points are on the line. If a clock was corrected an hour ago, its points are not;
- the level is higher now than it usually was before the rise began. A clock that is corrected every night drifts every
  day, but never reaches the limit.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, median
from typing import NamedTuple

HOUR, DAY = 3600, 86_400  # seconds
# The times to search for a trend, and the width of their bins, in seconds. The longest comes first, because it gives
# the best line.
WINDOWS = ((14 * DAY, 8 * HOUR), (3 * DAY, 2 * HOUR), (DAY, HOUR), (DAY // 2, HOUR))
LOOK_BACK = WINDOWS[0][0]
MIN_POINTS = 6
LINE_TO_STEP = 0.5  # greatest deviation from the line, as a fraction of the deviation from the best step
USUAL = 0.95  # the usual highest level: this fraction of the earlier points is below it
HORIZON = 30 * DAY  # seconds after the last point; a forecast further ahead is not reliable
FURTHEST = 30  # the horizon of a short observation: this many times the observed time


class Point(NamedTuple):
    """The values of an hour: their mean, and the value nearest to the limit. `at` is in seconds since 1970."""

    at: float
    mean: float
    nearest: float


@dataclass(frozen=True)
class Trend:
    """A rise by *per_hour*, which reaches the limit at *reaches_at*, in seconds since 1970."""

    per_hour: float
    reaches_at: float


@dataclass(frozen=True)
class _Line:
    slope: float
    level: float

    def at(self, moment: float) -> float:
        return self.level + self.slope * moment


def forecast(points: Sequence[Point], limit: float) -> Trend | None:
    """Return the trend of *points*, the oldest first, that reaches *limit* from below, or None if there is none."""
    if not points:
        return None
    origin = points[-1].at
    points = [Point(at - origin, mean, nearest) for at, mean, nearest in points]
    for window, width in WINDOWS:
        trend = _trend(points, window, width, limit)
        if trend is not None:
            return Trend(trend.per_hour, origin + trend.reaches_at)
    return None


def _trend(points: Sequence[Point], window: float, width: float, limit: float) -> Trend | None:
    """Return the trend of the last *window* seconds, counted from the last point, in bins of *width* seconds."""
    recent = list(_bins([point for point in points if point.at > -window], width))
    earlier = [point.mean for point in points if point.at <= -window]
    if len(recent) < MIN_POINTS:
        return None
    line = _line([(point.at, point.mean) for point in recent])
    if line.slope <= 0 or not _is_one(recent, line, points[-1].mean) or not _is_new(earlier, line, recent[0].at):
        return None
    # The first people are rejected when the worst value of an hour reaches the limit, not the mean.
    worst = median(point.nearest - line.slope * point.at for point in recent)
    reaches_at = (limit - worst) / line.slope
    span = recent[-1].at - recent[0].at
    return Trend(line.slope * HOUR, reaches_at) if reaches_at <= min(HORIZON, FURTHEST * span) else None


def _bins(points: Sequence[Point], width: float) -> Iterator[Point]:
    """Yield one point for each bin of *width* seconds that has points.

    It has the mean of their means, and the median of their nearest values.
    """
    bins: dict[int, list[Point]] = {}
    for point in points:
        bins.setdefault(int(-point.at // width), []).append(point)
    for _number, members in sorted(bins.items(), reverse=True):
        at, mean, nearest = zip(*members, strict=True)
        yield Point(fmean(at), fmean(mean), median(nearest))


def _line(points: Sequence[tuple[float, float]]) -> _Line:
    slope = median((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2))
    return _Line(slope, median(y - slope * x for x, y in points))


def _is_one(points: Sequence[Point], line: _Line, last: float) -> bool:
    """Tell whether the binned *points*, and the *last* value before binning, follow the rising *line*."""
    rise = line.slope * (points[-1].at - points[0].at)
    apart = [point.mean - line.at(point.at) for point in points]
    noise = median(abs(distance) for distance in apart)
    near = max(3 * noise, rise / 4)
    return (
        _sum(apart) < LINE_TO_STEP * _step_deviation([point.mean for point in points])
        and abs(median(apart[-3:])) <= near
        and last >= line.at(0) - near
    )


def _step_deviation(values: Sequence[float]) -> float:
    """Return the sum of deviations from the best step: one level up to some point, another level from there on."""
    return min(_sum([*_apart(values[:cut]), *_apart(values[cut:])]) for cut in range(1, len(values)))


def _apart(values: Sequence[float]) -> list[float]:
    middle = median(values)
    return [value - middle for value in values]


def _sum(deviations: Sequence[float]) -> float:
    """Return the sum of absolute *deviations*.

    The largest tenth of them, or at least one, is left out, because it may consist of outliers.
    """
    sizes = sorted(map(abs, deviations))
    return sum(sizes[: -max(1, len(sizes) // 10)])


def _is_new(earlier: Sequence[float], line: _Line, begins: float) -> bool:
    """Tell whether the *line* has left the range of the *earlier* values. Fewer than three values are ignored."""
    if len(earlier) < 3:
        return True
    usual = sorted(earlier)[int(USUAL * (len(earlier) - 1))]
    return line.at(0) > usual + (line.at(0) - line.at(begins)) / 4
