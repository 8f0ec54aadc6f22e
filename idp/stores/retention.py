"""Delete ended sessions and counters, and audit entries that are older than IDP_ACTIVITY_DAYS.

Anyone can cause rejections, so their number is limited too. All other audit entries are limited only by age. Each step
deletes a few rows that an index finds. idp/housekeeping.py decides when the clean-up runs, and shared/tidying.py
repeats its steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, delete, select

from idp.context import context
from idp.models import REFUSED, AuditRow, SessionRow, db
from shared.tidying import Step

MAX_REFUSALS = 100_000  # rows; about 30 MB with their indexes
MAX_DAYS = 36_500  # a hundred years: more counts as for ever, so that dates do not overflow


def steps(most: int = MAX_REFUSALS) -> Sequence[Step]:
    """Return the steps that delete expired rows, and rejections beyond the newest *most*."""
    now, days = context().now(), context().settings.activity_days
    found: list[Step] = [partial(forget_sessions, now), context().throttle.storage.forget_ended]
    if days:
        found.append(partial(forget_audit, now - timedelta(days=min(days, MAX_DAYS))))
    newest_surplus = _newest_surplus(most)
    if newest_surplus is not None:
        found.append(partial(forget_refusals, newest_surplus))
    return found


def forget_sessions(now: datetime, connection: Connection, rows: int) -> int:
    """Delete up to *rows* sessions that are past their absolute limit."""
    over = select(SessionRow.id_hash).where(SessionRow.ends_at <= now).limit(rows).with_for_update(skip_locked=True)
    return connection.execute(delete(SessionRow).where(SessionRow.id_hash.in_(over))).rowcount


def forget_audit(before: datetime, connection: Connection, rows: int) -> int:
    """Delete up to *rows* audit entries that are older than *before*, the oldest first."""
    # If two workers clean up at once, each skips the rows that the other has locked.
    old = select(AuditRow.id).where(AuditRow.at < before).order_by(AuditRow.at).limit(rows)
    return connection.execute(delete(AuditRow).where(AuditRow.id.in_(old.with_for_update(skip_locked=True)))).rowcount


def forget_refusals(last: int, connection: Connection, rows: int) -> int:
    """Delete up to *rows* refusals, the oldest first, up to the entry *last*."""
    old = select(AuditRow.id).where(REFUSED, AuditRow.id <= last).order_by(AuditRow.id).limit(rows)
    return connection.execute(delete(AuditRow).where(AuditRow.id.in_(old.with_for_update(skip_locked=True)))).rowcount


def _newest_surplus(most: int) -> int | None:
    """Return the ID of the newest rejection beyond the limit, or None. Only an index is read, so no writer waits."""
    query = select(AuditRow.id).where(REFUSED).order_by(AuditRow.id.desc()).offset(most).limit(1)
    with db.engine.connect() as connection:
        found: int | None = connection.execute(query).scalar()
    return found
