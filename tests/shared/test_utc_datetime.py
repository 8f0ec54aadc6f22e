"""Datetimes come back from every database as they were stored: aware, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Column, MetaData, Table, create_engine, select
from sqlalchemy.exc import StatementError

from shared.utc_datetime import UtcDateTime

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture
def table() -> Table:
    return Table("times", MetaData(), Column("at", UtcDateTime))


def test_a_datetime_of_another_zone_comes_back_in_utc(table: Table) -> None:
    with create_engine("sqlite://").connect() as connection:
        table.create(connection)
        connection.execute(table.insert().values(at=NOON.astimezone(timezone(timedelta(hours=5)))))
        found = connection.execute(select(table.c.at)).scalar_one()
    assert (found, found.tzinfo) == (NOON, UTC)


def test_a_datetime_without_a_zone_is_refused(table: Table) -> None:
    with create_engine("sqlite://").connect() as connection:
        table.create(connection)
        with pytest.raises(StatementError, match="needs a time zone"):
            connection.execute(table.insert().values(at=NOON.replace(tzinfo=None)))
