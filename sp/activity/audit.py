"""Write and read the audit trail: who changed which provider or account, when, and how. It never contains a secret.

The line is written in the transaction of the change itself, so that the change is never stored without its line, or the
line without the change. A key is identified by its fingerprint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from shared.clock import utc_now
from sp.database.access import Database
from sp.database.models import SettingsChange

_change: Any = SettingsChange.__table__


@dataclass(frozen=True)
class Change:
    """One line. `subject` is a provider's name or an account's e-mail.

    `detail` has [before, after] for each setting.
    """

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: Mapping[str, Any]


def record(
    connection: Connection, actor: str, action: str, subject: str, detail: Mapping[str, Any] | None = None
) -> None:
    """Insert one line within the caller's transaction."""
    values = {
        "at": utc_now(),
        "actor": actor[:320],
        "action": action,
        "subject": subject[:320],
        "detail": dict(detail or {}),
    }
    connection.execute(insert(_change), values)


def recent(
    database: Database, *, subject: str | None = None, before: int | None = None, limit: int = 20
) -> list[Change]:
    """Return the newest lines.

    If *subject* is given, return only its lines. If *before* is given, return only older lines.
    """
    query = select(_change).order_by(_change.c.id.desc()).limit(limit)
    if subject is not None:
        query = query.where(_change.c.subject == subject)
    if before is not None:
        query = query.where(_change.c.id < before)
    with database.reading() as connection:
        return [
            Change(row.id, row.at, row.actor, row.action, row.subject, row.detail) for row in connection.execute(query)
        ]
