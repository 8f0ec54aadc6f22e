"""Limit the activity log, the audit trail and the margins by SP_ACTIVITY_DAYS, and rejections also by number.

Anyone can cause any number of rejections, so only these are also limited by number. Successful sign-ins and sign-outs
are deleted only by age. Each step deletes a few rows that an index finds; `shared.tidying` says how often.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, select, tuple_

from shared.tidying import Step
from sp.activity.margins import HOUR
from sp.database.access import Database
from sp.database.models import Activity, Margin, SettingsChange

MAX_REFUSALS = 100_000  # rows; about 60 MB with their indexes
MAX_DAYS = 36_500  # a hundred years; a higher number means "for ever", so that dates do not overflow
DAY = 86_400  # seconds

_activity: Any = Activity.__table__
_change: Any = SettingsChange.__table__
_margin: Any = Margin.__table__
_refusal: ColumnElement[bool] = _activity.c.code.is_not(None)


def steps(database: Database, now: int, days: int, most: int = MAX_REFUSALS) -> Sequence[Step]:
    """Return the steps that delete rows older than *days*, and all rejections except the newest *most*.

    If *days* is 0, no row is deleted because of its age.
    """
    found: list[Step] = []
    if days:
        before = now - min(days, MAX_DAYS) * DAY
        found += [
            partial(forget_before, before),
            partial(forget_changes_before, before),
            partial(forget_margins_before, before),
        ]
    newest_surplus = _newest_surplus(database, most)
    if newest_surplus is not None:
        found.append(partial(forget_refusals, newest_surplus))
    return found


def forget_before(before: int, connection: Connection, rows: int) -> int:
    """Delete up to *rows* lines of the activity log that are older than the second *before*, the oldest first."""
    return _delete(connection, _activity, _activity.c.at < before, _activity.c.at, rows)


def forget_changes_before(before: int, connection: Connection, rows: int) -> int:
    """Delete up to *rows* lines of the audit trail that are older than the second *before*, the oldest first."""
    moment = datetime.fromtimestamp(before, UTC)
    return _delete(connection, _change, _change.c.at < moment, _change.c.at, rows)


def forget_margins_before(before: int, connection: Connection, rows: int) -> int:
    """Delete up to *rows* measured hours that ended before the second *before*, the oldest first."""
    hours = select(*_margin.primary_key).where(_margin.c.hour < before // HOUR).order_by(_margin.c.hour)
    gone = hours.limit(rows).with_for_update(skip_locked=True)
    return connection.execute(delete(_margin).where(tuple_(*_margin.primary_key).in_(gone))).rowcount


def forget_refusals(last: int, connection: Connection, rows: int) -> int:
    """Delete up to *rows* rejections, oldest first, up to and including the line *last*."""
    return _delete(connection, _activity, _refusal & (_activity.c.id <= last), _activity.c.id, rows)


def _newest_surplus(database: Database, most: int) -> int | None:
    """Return the ID of the newest rejection that must be deleted, so that only the newest *most* rejections stay.

    Return None if there are at most *most* rejections. Only an index is read, so no writer waits.
    """
    query = select(_activity.c.id).where(_refusal).order_by(_activity.c.id.desc()).offset(most).limit(1)
    with database.reading() as connection:
        found: int | None = connection.execute(query).scalar()
    return found


def _delete(connection: Connection, table: Any, which: ColumnElement[bool], order: Any, rows: int) -> int:
    # If two nodes clean up at once, each skips the rows that the other has locked.
    gone = select(table.c.id).where(which).order_by(order).limit(rows).with_for_update(skip_locked=True)
    return connection.execute(delete(table).where(table.c.id.in_(gone))).rowcount
