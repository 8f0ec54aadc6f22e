"""Show a provider's margins on its page: each limit with its trend, and a chart of the last days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shared.clock import time_now
from sp.admin.charts import Band, LineChart, line_chart
from sp.current import components
from sp.diagnosis.health import LimitReport, ProviderHealth, mean_of
from sp.providers.rows import StoredProvider

DAYS = 7  # in the chart
ROWS = 24  # in the table below the chart


@dataclass(frozen=True)
class MarginView:
    """One limit: its report, its chart, and the newest hours as rows.

    `chart` is None if there are no values in the last DAYS days.
    """

    report: LimitReport
    chart: LineChart | None
    rows: tuple[Band, ...]


@dataclass(frozen=True)
class MarginsView:
    """The margins of a provider for its page."""

    health: ProviderHealth
    margins: tuple[MarginView, ...]


def margins_of(stored: StoredProvider) -> MarginsView:
    """Return the margins of *stored*. Raises StoreUnavailable."""
    health = components().health.of(stored)
    return MarginsView(health, tuple(_views(health)))


def _views(health: ProviderHealth) -> Iterator[MarginView]:
    ends = time_now()
    begins = ends - DAYS * 86_400
    for report in health.limits:
        bands = [
            Band(hour.at, hour.spread.least, mean_of(hour), hour.spread.most, hour.spread.times)
            for hour in report.hours
            if hour.at >= begins
        ]
        chart = line_chart(bands, report.limit.value, begins, max(ends, bands[-1].at)) if bands else None
        yield MarginView(report, chart, tuple(reversed(bands[-ROWS:])))
