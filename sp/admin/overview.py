"""Show administrators an overview: what needs attention, sign-ins and rejections, and the providers' margins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from flask import Blueprint
from flask.typing import ResponseReturnValue

from shared.clock import time_now
from shared.web import page
from sp.activity import counts as activity_counts
from sp.activity.counts import Counts
from sp.admin import attention
from sp.admin import warnings as provider_warnings
from sp.admin.attention import Attention
from sp.admin.charts import BarChart, bar_chart
from sp.admin.guard import administrators_only, file_state
from sp.current import components
from sp.diagnosis.health import ProviderHealth, amount

views = Blueprint("overview", __name__)
administrators_only(views)

HOUR, DAY = 3600, 86_400  # seconds
HOURS = 24  # in the chart
CODES = 4  # named in the chart; the others are one series
OTHERS = "others"


@dataclass(frozen=True)
class DayChart:
    """The bars of the last hours, and the names of their series.

    `rows` has the same values as a table: the hour, and a count for each series.
    """

    chart: BarChart
    series: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int, ...]], ...]
    totals: tuple[int, ...]


@views.get("/settings", strict_slashes=False)
def index() -> ResponseReturnValue:
    """Show the overview."""
    core, now = components(), int(time_now())
    this_hour = now - now % HOUR
    counts = activity_counts.since(core.database, this_hour - 2 * DAY + HOUR)
    healths, taken = core.health.lately(), core.account_search.active()
    begins = this_hour - (HOURS - 1) * HOUR
    return page(
        "sp/settings/overview.html",
        attention=attention.sort(list(_attention(healths, counts, taken, this_hour + HOUR))),
        day=_day_chart(counts, begins),
        counted_from=counts.counted_from if counts.counted_from > begins else None,
        accepted=counts.accepted_in(begins),
        rejected=sum(counts.rejected_in(begins).values()),
        sessions=core.session_finder.live(),
        taken=taken,
        seat_limit=core.config.seat_limit,
        healths=healths,
        amount=amount,
        sites=len(core.rulebook.current.sites),
        rules=sum(len(site.rules) for site in core.rulebook.current.sites),
    )


def _attention(healths: list[ProviderHealth], counts: Counts, taken: int, now: int) -> Iterator[Attention]:
    core = components()
    everyone = core.provider_store.load()
    can_enter = core.people.administrator_can_enter()
    yield from attention.of_settings(everyone, file_state().mistakes)
    yield from attention.of_health(healths)
    yield from attention.compare(counts, now)
    days = int(time_now() - core.rule_counts.began_at) // DAY
    yield from attention.of_rules(core.rulebook.current.sites, core.rule_counts.totals(), days)
    yield from attention.of_seats(taken, core.config.seat_limit)
    yield from attention.of_warnings(provider_warnings.of_all(everyone, administrator_can_enter=can_enter))


def _day_chart(counts: Counts, begins: int) -> DayChart:
    """Return the chart of the hours from *begins*: accepted tokens below, rejections by code above."""
    named = list(counts.rejected_in(begins))[:CODES]
    has_others = len(counts.rejected_in(begins)) > CODES
    series = ("signed in", *named, *([OTHERS] if has_others else []))
    columns, rows = [], []
    for hour in range(begins, begins + HOURS * HOUR, HOUR):
        rejected = counts.rejected_in(hour, hour + HOUR)
        values = [counts.accepted_in(hour, hour + HOUR), *(rejected.get(code, 0) for code in named)]
        if has_others:
            values.append(sum(rejected.values()) - sum(values[1:]))
        label = f"{datetime.fromtimestamp(hour, UTC):%H:%M}"
        columns.append((label, dict(enumerate(values))))
        rows.append((f"{datetime.fromtimestamp(hour, UTC):%Y-%m-%d %H:%M}", tuple(values)))
    totals = tuple(sum(values) for values in zip(*(row[1] for row in rows), strict=True))
    return DayChart(bar_chart(columns, tick_every=6), series, tuple(reversed(rows)), totals)
