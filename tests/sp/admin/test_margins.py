"""The margins on a provider's page: the day, a chart without script or style, and the numbers as a table."""

import re

import pytest
from flask import Flask

from shared.clock import time_now
from sp.activity import margin_rows
from sp.activity.margin_rows import ProviderHour
from sp.activity.margins import AGE, AHEAD, HOUR, LEFT, SIZE, Spreads
from sp.admin.charts import Band, bar_chart, line_chart
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, PAGE, administrator_of
from tests.support.forms import Visitor
from tests.support.gateway import core_of


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    return gateway({"corporate": CORPORATE})


@pytest.fixture
def carol(app: Flask) -> Visitor:
    return administrator_of(app)


def measure(app: Flask, *, per_hour: float, hours: int = 20) -> None:
    """Fill the last hours with a sign-in each, by a clock that gains so much."""
    now = int(time_now()) // HOUR
    values = [
        {AHEAD: n * per_hour, AGE: -n * per_hour, LEFT: 60 + n * per_hour, SIZE: 1234.0} for n in range(hours + 1)
    ]
    with core_of(app).database.writing() as connection:
        sums = {ProviderHour("corporate", now - hours + n): Spreads.of(value) for n, value in enumerate(values)}
        margin_rows.add(connection, sums)


def test_a_provider_on_its_way_out_is_named_with_the_day_and_the_setting_that_helps(app: Flask, carol: Visitor) -> None:
    measure(app, per_hour=1)
    carol.open(PAGE)
    worst = core_of(app).health.now()[0].worst
    assert worst is not None
    assert f"People will be refused from {worst.refuses_on} on" in carol.text
    assert "token_not_yet_valid" in carol.text
    assert "clock_skew" in carol.text


def test_each_chart_has_a_name_and_its_numbers_and_needs_neither_script_nor_style(app: Flask, carol: Visitor) -> None:
    measure(app, per_hour=0)
    page = carol.open(PAGE).text
    charts = re.findall(r"<svg class=\"chart\".*?</svg>", page, re.DOTALL)
    assert len(charts) == 4
    assert all('role="img" aria-label="' in chart for chart in charts)
    assert page.count("<details>\n      <summary>Table: ") == 4
    assert "1,234 bytes" in page
    assert "style=" not in page
    assert set(re.findall(r"static/(\w+)\.js", page)) <= {"copy", "times"}  # comfort only
    assert "People will be refused" not in page


def test_a_provider_without_sign_ins_says_when_margins_appear(carol: Visitor) -> None:
    carol.open(PAGE)
    assert "Margins appear after the first one" in carol.text


@pytest.mark.parametrize("value", [0.0, -250.25, 1e-7, 8192.0, 9e9])
def test_a_chart_of_any_values_stays_within_its_frame(value: float) -> None:
    bands = [Band(1000.0 + n, value - n, value, value + n, 1) for n in range(3)]
    chart = line_chart(bands, 30.0, 0, 2000)
    for points in (chart.line, chart.band):
        for point in points.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 400
            assert 0 <= y <= 170
    assert 2 <= len(chart.y_ticks) <= 7


def test_the_first_sign_in_is_a_visible_point_in_each_chart(app: Flask, carol: Visitor) -> None:
    measure(app, per_hour=0, hours=0)
    points = re.findall(r'<circle class="chart-point" cx="([\d.]+)" cy="([\d.]+)"', carol.open(PAGE).text)
    assert len(points) == 4
    assert all(46 <= float(x) <= 392 and 10 <= float(y) <= 146 for x, y in points)


def test_bars_are_stacked_without_overlap() -> None:
    chart = bar_chart([("Mon", {0: 5, 1: 2}), ("Tue", {}), ("Wed", {1: 10})], tick_every=2)
    assert [(bar.series, bar.label) for bar in chart.bars] == [(0, "Mon: 5"), (1, "Mon: 2"), (1, "Wed: 10")]
    first, second, _third = chart.bars
    assert second.y + second.height == pytest.approx(first.y, abs=0.2)
    assert [tick.label for tick in chart.x_ticks] == ["Mon", "Wed"]
