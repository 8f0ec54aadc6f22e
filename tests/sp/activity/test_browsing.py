"""Filters and counts give the same on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.folding import Count
from sp.activity import browsing, counts, folds, margin_rows
from sp.activity import record as activity
from sp.activity.browsing import Filter
from sp.activity.folds import Fold
from sp.activity.margin_rows import ProviderHour
from sp.activity.margins import HOUR, SIZE, Spreads
from sp.activity.record import Visitor
from sp.components import Components
from tests.support.gateway import core_of, make_gateway, migrated_postgresql
from tests.support.stores import PostgreSQL

START = 500_000 * HOUR
PERSONS = ("alice@example.com", "bob@example.com")


@pytest.fixture(params=["sqlite", "postgresql"])
def core(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Components]:
    """A gateway with ten lines an hour apart; each third is a rejection."""
    environ: dict[str, str] = {}
    if request.param == "postgresql":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        environ["SP_DATABASE_URL"] = migrated_postgresql(server)
    made = core_of(make_gateway(tmp_path / "browsing", None, **environ))
    with made.database.writing() as connection:
        for number in range(10):
            code = None if number % 3 else "token_expired"
            entry = activity.Entry(
                f"R{number}",
                START + number * HOUR,
                "refused" if code else "sign_in",
                Visitor("192.0.2.1"),
                code,
                provider="corporate" if number % 2 else "partner",
                email=PERSONS[number % 2],
            )
            activity.record(connection, entry)
    yield made
    made.database.engine.dispose()


FILTERS: dict[str, tuple[Filter, list[int]]] = {
    "all": (Filter(), [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
    "provider": (Filter(provider="partner"), [8, 6, 4, 2, 0]),
    "whole e-mail": (Filter(email="Bob@example.com"), [9, 7, 5, 3, 1]),
    "part of an e-mail": (Filter(email="LIC"), [8, 6, 4, 2, 0]),
    "a wildcard is a character": (Filter(email="a_ice"), []),
    "code": (Filter(code="token_expired"), [9, 6, 3, 0]),
    "any code of a provider": (Filter(refused=True, provider="corporate"), [9, 3]),
    "event": (Filter(event="sign_in", email="alice"), [8, 4, 2]),
    "since": (Filter(since=START + 7 * HOUR), [9, 8, 7]),
    "until": (Filter(until=START + 2 * HOUR), [1, 0]),
    "since and until": (Filter(since=START + 2 * HOUR, until=START + 4 * HOUR, provider="partner"), [2]),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_finds_its_lines(core: Components, name: str) -> None:
    wanted, found = FILTERS[name]
    assert [line.reference for line in browsing.page(core.database, wanted).lines] == [f"R{n}" for n in found]
    newer, last = browsing.newer(core.database, wanted, after=0)
    assert [line.reference for line in newer] == [f"R{n}" for n in reversed(found)]
    assert last == browsing.newest(core.database)
    pages = browsing.all_pages(core.database, wanted, 2)
    assert [line.reference for lines in pages for line in lines] == [f"R{n}" for n in found]


def test_a_line_that_counts_for_an_hour_is_found_in_each_of_its_minutes(core: Components) -> None:
    fold, began = Fold.at(START, "token_malformed", None), START + 60
    with core.database.writing() as connection:
        folds.add(connection, {fold: Count(500, began, began + 3000)})
    wanted = Filter(code="token_malformed", since=began + 2000)
    assert [line.times for line in browsing.page(core.database, wanted).lines] == [500]


def test_tokens_and_rejections_are_counted_by_hour(core: Components) -> None:
    with core.database.writing() as connection:
        for provider in ("corporate", "partner"):
            for hour in (2, 2, 3):
                key = ProviderHour(provider, START // HOUR + hour)
                margin_rows.add(connection, {key: Spreads.of({SIZE: 400.0})})
        folds.add(connection, {Fold.at(START, "token_expired", None): Count(7, START + 3 * HOUR, START + 3 * HOUR)})
    found = counts.since(core.database, START + 2 * HOUR)
    assert found.accepted == {START + 2 * HOUR: 4, START + 3 * HOUR: 2}
    assert found.rejected == {(START + n * HOUR, "token_expired"): times for n, times in ((3, 8), (6, 1), (9, 1))}
    assert found.counted_from == START + 2 * HOUR
    assert found.rejected_in(START + 4 * HOUR) == {"token_expired": 2}
