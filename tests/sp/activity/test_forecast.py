"""The forecast names the day on which a limit is reached, and does not cry wolf."""

import math
import random
from collections.abc import Callable, Sequence

import pytest

from sp.activity.forecast import HOUR, Point, forecast

START = 1_800_000_000  # seconds since 1970
SKEW = 30.0
Level = Callable[[int], float]
Noise = Callable[[random.Random], float]


def whole_seconds(dice: random.Random) -> float:
    """What is left of a second when iat is cut to a whole one."""
    return -dice.random()


def slow_people(dice: random.Random) -> float:
    """Most tokens arrive at once, some after up to a minute."""
    return dice.expovariate(0.5) if dice.random() < 0.9 else dice.uniform(5, 60)


def gauss(width: float) -> Noise:
    return lambda dice: dice.gauss(0, width)


def series(level: Level, hours: int, noise: Noise, seed: int, *, without: Sequence[int] = ()) -> list[Point]:
    """Return points with one to twenty sign-ins an hour."""
    dice, points = random.Random(seed), []  # noqa: S311
    for hour in range(hours):
        values = [level(hour) + noise(dice) for _ in range(dice.choice((1, 1, 3, 20)))]
        if hour not in without:
            points.append(Point(START + hour * HOUR, sum(values) / len(values), max(values)))
    return points


QUIET: dict[str, tuple[Level, float, Noise]] = {
    "a good clock": (lambda hour: 0, SKEW, whole_seconds),
    "a clock that is 20 seconds ahead and stays so": (lambda hour: 20, SKEW, whole_seconds),
    "slow people": (lambda hour: 0, 330, slow_people),
    "slow people and short lifetimes": (lambda hour: -60, SKEW, slow_people),
    "a bad network": (lambda hour: 0, SKEW, gauss(5)),
    "a clock that was set wrong at once": (lambda hour: 20 if hour > 60 else 0, SKEW, gauss(0.3)),
    "a clock that was set right": (lambda hour: 0 if hour > 60 else 20, SKEW, gauss(0.3)),
    "a clock that comes back": (lambda hour: max(0, 20 - hour * 0.1), SKEW, gauss(0.3)),
    "days and nights": (lambda hour: 10 * math.sin(hour * math.pi / 12), SKEW, gauss(0.5)),
    "tokens of many sizes": (lambda hour: 700, 8192, lambda dice: dice.choice((0, 0, 0, 20, 40, 400, 900))),
    "tokens that grew at once": (lambda hour: 700 if hour < 50 else 4000, 8192, lambda dice: dice.choice((0, 20, 40))),
    "tokens that grow too slowly to say a day": (lambda hour: 700 + 5 * hour, 8192, gauss(1)),
}
LENGTHS = (1, 5, 8, 24, 80, 200)


@pytest.mark.parametrize("name", QUIET)
def test_the_forecast_does_not_cry_wolf(name: str) -> None:
    level, limit, noise = QUIET[name]
    # Six hours of a morning are a trend to anyone who has not seen a day.
    lengths = [hours for hours in LENGTHS if name != "days and nights" or hours >= 48]
    alarms = [
        (hours, seed)
        for hours in lengths
        for seed in range(5)
        if forecast(series(level, hours + 1, noise, seed), limit)
    ]
    assert alarms == []


@pytest.mark.parametrize("hours", [60, 100, 300])
def test_a_clock_that_is_set_right_every_night_reaches_nothing(hours: int) -> None:
    assert [s for s in range(5) if forecast(series(lambda hour: hour % 24, hours, whole_seconds, s), SKEW)] == []


@pytest.mark.parametrize("at", [5, 20, 39])
@pytest.mark.parametrize("odd", [-200.0, 29.9])
def test_one_odd_sign_in_is_not_a_trend(at: int, odd: float) -> None:
    points = series(lambda hour: 0, 40, whole_seconds, 1)
    points[at] = Point(points[at].at, odd, odd)
    assert forecast(points, SKEW) is None


TRENDS: dict[str, tuple[Level, int, float, Noise, float, float]] = {
    # level, hours, limit, noise, the hour in which the limit is reached, and by how many hours the answer may differ
    "one second an hour, seen for 8 hours": (lambda hour: hour, 8, SKEW, whole_seconds, 30.5, 4),
    "one second an hour, seen for a day": (lambda hour: hour, 24, SKEW, whole_seconds, 30.5, 1.5),
    "one second an hour, lifetimes of 60 s": (lambda hour: hour - 60, 48, SKEW, whole_seconds, 90.5, 2),
    "one second an hour, tokens without exp": (lambda hour: hour, 200, 330, whole_seconds, 330.5, 3),
    "a second in ten hours": (lambda hour: hour / 10, 150, SKEW, whole_seconds, 304, 12),
    "a good clock that began to drift 12 hours ago": (lambda h: max(0, h - 288), 300, SKEW, whole_seconds, 318.5, 2),
    "a good clock that began to drift a day ago": (lambda h: max(0, h - 200), 224, SKEW, whole_seconds, 230.5, 2),
    "a drift among slow people": (lambda hour: hour, 200, 330, slow_people, 311, 40),
    "tokens that grow": (lambda hour: 6000 + hour * 10, 100, 8192, gauss(40), 217, 8),
}


@pytest.mark.parametrize("name", TRENDS)
def test_a_trend_is_told_with_its_time(name: str) -> None:
    level, hours, limit, noise, expected, tolerance = TRENDS[name]
    for seed in range(5):
        trend = forecast(series(level, hours, noise, seed), limit)
        assert trend is not None, seed
        assert (trend.reaches_at - START) / HOUR == pytest.approx(expected, abs=tolerance)


def test_one_odd_sign_in_does_not_hide_a_drift() -> None:
    points = series(lambda hour: hour, 24, whole_seconds, 1)
    points[12] = Point(points[12].at, -300, -300)
    trend = forecast(points, SKEW)
    assert trend is not None
    assert (trend.reaches_at - START) / HOUR == pytest.approx(30.5, abs=1.5)


def test_hours_without_sign_ins_do_not_matter() -> None:
    nights = [hour for hour in range(72) if not 7 <= hour % 24 <= 19]
    trend = forecast(series(lambda hour: hour / 4, 72, whole_seconds, 1, without=nights), SKEW)
    assert trend is not None
    assert trend.per_hour == pytest.approx(0.25, abs=0.01)


def test_a_clock_that_was_corrected_is_not_on_its_way_any_more() -> None:
    for hours in (20, 80, 300):
        per_hour = 25 / hours
        points = series(lambda hour: hour * per_hour if hour < hours else 0, hours + 1, whole_seconds, 1)  # noqa: B023
        assert forecast(points[:-1], SKEW) is not None
        assert forecast(points, SKEW) is None


def test_nothing_is_known_of_nothing() -> None:
    assert forecast([], SKEW) is None
