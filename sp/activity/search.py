"""Read single lines of the activity log, or the latest lines of an account. `sp.activity.browsing` reads pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from sp.database.access import Database
from sp.database.models import Activity

_table: Any = Activity.__table__
COLUMNS: tuple[Any, ...] = (
    _table.c.id,
    _table.c.reference,
    _table.c.at,
    _table.c.event,
    _table.c.code,
    _table.c.provider,
    _table.c.subject,
    _table.c.email,
    _table.c.account_id,
    _table.c.address,
    _table.c.user_agent,
    _table.c.detail,
    _table.c.times,
    _table.c.last_at,
)


@dataclass(frozen=True)
class Line:
    """One sign-in, accepted or refused, or another logged event. `at` is in seconds since 1970.

    If `last_at` is set, the line counts `times` similar rejections, the first at `at`, the last at `last_at`.
    """

    id: int
    reference: str
    at: int
    event: str
    code: str | None
    provider: str | None
    subject: str | None
    email: str | None
    account_id: int | None
    ip: str
    user_agent: str
    detail: str | None
    times: int
    last_at: int | None

    @property
    def counts(self) -> bool:
        """Whether the line counts several rejections together."""
        return self.last_at is not None


def by_reference(database: Database, reference: str) -> Line | None:
    """Return the line that has *reference*, or None."""
    with database.reading() as connection:
        row = connection.execute(select(*COLUMNS).where(_table.c.reference == reference)).first()
    return Line(*row) if row else None


def of_account(database: Database, account_id: int, *, limit: int) -> list[Line]:
    """Return the latest lines of an account."""
    query = select(*COLUMNS).where(_table.c.account_id == account_id)
    with database.reading() as connection:
        rows = connection.execute(query.order_by(_table.c.at.desc(), _table.c.id.desc()).limit(limit))
        return [Line(*row) for row in rows]
