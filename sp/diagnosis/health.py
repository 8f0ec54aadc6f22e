"""Report how near a provider's accepted sign-ins come to a limit, and from which day people will be rejected.

The measured values are compared with the provider's present settings. A value is near its limit if the usual value of
the last day, which is the median of its hours, is near the limit. So a single unusual sign-in does not count. The state
"on its way out" means that a trend reaches a limit (see `sp.activity.forecast`). The age of a key is reported, but it
does not cause rejections.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from shared.errors import TokenExpired, TokenMalformed, TokenNotYetValid, TokenTooOld
from shared.tokens import MAX_TOKEN_BYTES
from sp.activity.forecast import DAY, Point, Trend, forecast
from sp.activity.margins import AGE, AHEAD, LEFT, SIZE

if TYPE_CHECKING:
    from sp.activity.margin_rows import MeasuredHour
    from sp.providers.provider import Provider
    from sp.providers.rows import StoredKey, StoredProvider

NEAR_SECONDS = 5.0  # an unsynchronised clock can drift this much in a day
NEAR_BYTES = MAX_TOKEN_BYTES // 10
UNUSED_DAYS = 7  # after which a key that never verified a token is reported
OLD_DAYS = 730  # NIST SP 800-57 part 1, 5.3.6: a key that authenticates is used for at most two years

OK, NEAR, ON_ITS_WAY_OUT, NO_SIGN_INS, DISABLED = "ok", "near a limit", "on its way out", "no sign-ins", "disabled"


@dataclass(frozen=True)
class Limit:
    """A limit of one quantity. *code* is the code of the rejection beyond the limit.

    If `falling` is true, lower values are nearer to the limit.
    """

    quantity: str
    label: str
    unit: str
    code: str
    value: float
    falling: bool = False

    def turned(self, value: float) -> float:
        """Return *value*, negated if necessary, so that a larger result is nearer to the limit."""
        return -value if self.falling else value


@dataclass(frozen=True)
class LimitReport:
    """How near the sign-ins of the last day were to one limit, and the trend, if it reaches the limit.

    The last day is the 24 hours up to the last measured hour.

    - `latest` is the mean of the last measured hour.
    - `nearest` is the value of the last day that is nearest to the limit, and `room` is its distance to the limit.
    - `usual` is the median of the values that were nearest to the limit in each hour of the last day.
    - `hours` are the measured hours in which a trend was sought.
    """

    limit: Limit
    latest: float
    nearest: float
    usual: float
    room: float
    is_near: bool
    trend: Trend | None
    hours: Sequence[MeasuredHour]

    @property
    def refuses_on(self) -> date | None:
        """The day, in UTC, from which people are rejected, if nothing changes."""
        return day_of(self.trend.reaches_at) if self.trend else None

    def as_json(self) -> dict[str, Any]:
        """Return the values for JSON, which programs read."""
        return {
            "quantity": self.limit.quantity,
            "unit": self.limit.unit,
            "latest": round(self.latest, 1),
            "nearest": round(self.nearest, 1),
            "usual": round(self.usual, 1),
            "limit": self.limit.value,
            "room": round(self.room, 1),
            "code": self.limit.code,
            "per_hour": round(self.limit.turned(self.trend.per_hour), 3) if self.trend else None,
            "refuses_on": self.refuses_on.isoformat() if self.refuses_on else None,
        }


@dataclass(frozen=True)
class KeyReport:
    """A stored key and its age in whole days."""

    fingerprint: str
    days: int
    last_used_at: datetime | None

    @property
    def unused(self) -> bool:
        """Whether the key has never verified a token, although it is at least UNUSED_DAYS old."""
        return self.last_used_at is None and self.days >= UNUSED_DAYS

    @property
    def is_old(self) -> bool:
        """Whether keys are usually replaced at this age."""
        return self.days >= OLD_DAYS


@dataclass(frozen=True)
class ProviderHealth:
    """A provider, how near its sign-ins came to each limit, and its keys.

    `sign_ins` is the number of sign-ins in the last 24 hours. `limits` is about the 24 hours up to the last measured
    hour, which may be earlier.
    """

    provider: Provider
    sign_ins: int
    limits: tuple[LimitReport, ...]
    keys: tuple[KeyReport, ...]

    @property
    def worst(self) -> LimitReport | None:
        """The report whose trend reaches its limit first."""
        found = [(report.trend.reaches_at, report) for report in self.limits if report.trend]
        return min(found, key=lambda pair: pair[0])[1] if found and self.provider.enabled else None

    @property
    def state(self) -> str:
        """One of the five states that are named at the top of this module."""
        if not self.provider.enabled:
            return DISABLED
        if self.worst:
            return ON_ITS_WAY_OUT
        if not self.limits:
            return NO_SIGN_INS
        return NEAR if any(report.is_near for report in self.limits) else OK

    @property
    def reason(self) -> str:
        """The reason why the state is not ok, in one sentence; otherwise empty."""
        if self.worst:
            return trend_sentence(self.worst)
        near = [report for report in self.limits if report.is_near] if self.state == NEAR else []
        return "; ".join(near_sentence(report) for report in near)

    def as_json(self) -> dict[str, Any]:
        """Return the values for JSON, which programs read."""
        worst = self.worst
        return {
            "name": self.provider.name,
            "state": self.state,
            "refuses_on": worst.refuses_on.isoformat() if worst and worst.refuses_on else None,
            "code": worst.limit.code if worst else None,
            "reason": self.reason,
            "sign_ins": self.sign_ins,
            "margins": [report.as_json() for report in self.limits],
            "keys": [
                {
                    "fingerprint": key.fingerprint,
                    "days": key.days,
                    "last_used_at": key.last_used_at.isoformat() if key.last_used_at else None,
                }
                for key in self.keys
            ],
        }


def judge(stored: StoredProvider, measured: Mapping[str, Sequence[MeasuredHour]], now: float) -> ProviderHealth:
    """Return the health of *stored*. *measured* has the hours of each quantity, oldest first."""
    reports, counts = [], [0]
    for limit in limits_of(stored.provider):
        hours = measured.get(limit.quantity, ())
        if hours:
            counts.append(sum(hour.spread.times for hour in hours if hour.at > now - DAY))
            reports.append(_report(limit, hours))
    keys = tuple(_key(key, now) for key in stored.keys)
    return ProviderHealth(stored.provider, max(counts), tuple(reports), keys)


def limits_of(provider: Provider) -> tuple[Limit, ...]:
    """Return the limits that the settings of *provider* put on the quantities."""
    skew = float(provider.clock_skew)
    latest = -(skew + provider.expiry_adjustment)
    return (
        Limit(AHEAD, "clock ahead of ours", "s", TokenNotYetValid.code, skew),
        Limit(AGE, "age at arrival", "s", TokenTooOld.code, provider.max_age + skew),
        Limit(LEFT, "lifetime left at arrival", "s", TokenExpired.code, latest, falling=True),
        Limit(SIZE, "token size", "bytes", TokenMalformed.code, float(MAX_TOKEN_BYTES)),
    )


def nearest_of(limit: Limit, hour: MeasuredHour) -> float:
    """Return the value of *hour* that is nearest to the limit."""
    return hour.spread.least if limit.falling else hour.spread.most


def mean_of(hour: MeasuredHour) -> float:
    """Return the mean of the values of *hour*."""
    return hour.spread.total / hour.spread.times


def day_of(moment: float) -> date:
    """Return the day, in UTC, of *moment*, which is in seconds since 1970."""
    return datetime.fromtimestamp(moment, UTC).date()


def amount(value: float, unit: str) -> str:
    """Return *value* as text: a whole number, or one decimal below ten seconds."""
    digits = 1 if unit == "s" and 0.05 <= abs(value) < 10 and value != int(value) else 0
    return f"{round(value, digits) + 0.0:,.{digits}f} {unit}"  # + 0.0 turns -0.0 into 0.0


def trend_sentence(report: LimitReport) -> str:
    """Say which value changes, how fast, and what will be rejected."""
    limit, trend = report.limit, report.trend
    speed = f"{trend.per_hour:.2g} {limit.unit} an hour" if trend else ""
    match limit.quantity:
        case "ahead":
            what = f"its clock is {amount(report.latest, 's')} ahead of ours and gains {speed}"
        case "size":
            what = f"its tokens have {amount(report.latest, 'bytes')} and grow by {speed}"
        case _:
            what = f"its tokens arrive older by {speed}: its clock falls behind ours, or tokens are sent late"
    return f"{what}. Limit of the {limit.label}: {amount(limit.value, limit.unit)}; then the answer is {limit.code}"


def near_sentence(report: LimitReport) -> str:
    """Say how near a value is to its limit."""
    limit = report.limit
    return f"{limit.label}: usually {amount(report.usual, limit.unit)}; the limit is {amount(limit.value, limit.unit)}"


def _report(limit: Limit, hours: Sequence[MeasuredHour]) -> LimitReport:
    points = [Point(hour.at, limit.turned(mean_of(hour)), limit.turned(nearest_of(limit, hour))) for hour in hours]
    last_day = [point for point in points if point.at > points[-1].at - DAY]
    wall = limit.turned(limit.value)
    nearest, usual = max(point.nearest for point in last_day), median(point.nearest for point in last_day)
    return LimitReport(
        limit,
        latest=mean_of(hours[-1]),
        nearest=limit.turned(nearest),
        usual=limit.turned(usual),
        room=wall - nearest,
        is_near=wall - usual < _near(limit),
        trend=forecast(points, wall),
        hours=hours,
    )


def _near(limit: Limit) -> float:
    return NEAR_BYTES if limit.quantity == SIZE else NEAR_SECONDS


def _key(key: StoredKey, now: float) -> KeyReport:
    return KeyReport(key.fingerprint, int((now - key.created_at.timestamp()) // DAY), key.last_used_at)
