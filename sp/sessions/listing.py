"""Look up one session by its public ID, list the sessions of a person, or count all live sessions. Change nothing.

The results are read from the database, without a cache. `sp.sessions.store`, which has a cache, finds the sessions of
requests.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import func, select

from shared.clock import time_now
from sp.database.access import Database
from sp.database.models import SessionRecord
from sp.sessions.store import BROWSER, MAX_IP, MAX_USER_AGENT

_session: Any = SessionRecord.__table__
_DETAIL = (
    _session.c.public_id,
    _session.c.kind,
    _session.c.provider,
    _session.c.subject,
    _session.c.provider_session,
    _session.c.claims,
    _session.c.created_at,
    _session.c.last_seen_at,
    _session.c.expires_at,
    _session.c.address,
    _session.c.user_agent,
)


@dataclass(frozen=True)
class SessionDetail:
    """The details of a session for its owner and administrators. Times are in seconds since 1970.

    `sites` are the names of the further sites where sessions were opened with this session. Only
    `SessionFinder.list_of` fills it.
    """

    public_id: str
    kind: str
    provider: str | None
    subject: str | None
    provider_session: str | None
    claims: Mapping[str, Any]
    created_at: int
    last_seen_at: int | None
    expires_at: int
    ip: str
    user_agent: str
    sites: tuple[str, ...] = ()


class SessionFinder:
    """Reads sessions. `idle` and `lifetime` are the limits of the store that opens sessions, in seconds."""

    def __init__(self, database: Database, *, idle: int, lifetime: int) -> None:
        self._database = database
        self._idle, self._lifetime = idle, lifetime

    def detail(self, public_id: str) -> SessionDetail | None:
        """Return what is stored about one session, or None."""
        with self._database.reading() as connection:
            row = connection.execute(select(*_DETAIL).where(_session.c.public_id == public_id)).first()
        return SessionDetail(*row) if row else None

    def list_of(self, account_id: int) -> list[SessionDetail]:
        """Return a person's live sessions at home and access tokens, newest first, with the names of further sites."""
        now = int(time_now())
        seen = func.coalesce(_session.c.last_seen_at, _session.c.created_at)
        query = (
            select(*_DETAIL, _session.c.id_hash)
            .where(_session.c.account_id == account_id, _session.c.expires_at > now, seen >= now - self._idle)
            .where(_session.c.site.is_(None))
            .order_by(_session.c.created_at.desc())
        )
        at_sites = (
            select(_session.c.opened_with, _session.c.site)
            .where(_session.c.account_id == account_id, _session.c.site.is_not(None))
            .distinct()
            .order_by(_session.c.site)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
            sites: defaultdict[bytes, list[str]] = defaultdict(list)
            for opened_with, site in connection.execute(at_sites):
                sites[opened_with].append(site)
        return [replace(SessionDetail(*row[:-1]), sites=tuple(sites[row.id_hash])) for row in rows]

    def live(self) -> int:
        """Return how many sessions have not expired.

        Sessions at further sites are not counted, because each belongs to a session at home.
        """
        sessions = select(func.count()).where(_session.c.expires_at > int(time_now()), _session.c.site.is_(None))
        with self._database.reading() as connection:
            found: int = connection.execute(sessions).scalar_one()
            return found

    def unreturned(self, ip: str, user_agent: str, return_path: str, since: int) -> bool:
        """Tell whether a session was opened after *since* for this browser and page, but has never been used.

        All sessions have the same lifetime, so the query uses the index on `expires_at`. Raises StoreUnavailable.
        """
        query = (
            select(_session.c.account_id)
            .where(_session.c.expires_at >= since + self._lifetime, _session.c.last_seen_at.is_(None))
            .where(_session.c.kind == BROWSER, _session.c.return_path == return_path)
            .where(
                _session.c.site.is_(None),
                _session.c.address == ip[:MAX_IP],
                _session.c.user_agent == user_agent[:MAX_USER_AGENT],
            )
            .limit(1)
        )
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None
