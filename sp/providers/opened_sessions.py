"""Count and end the sessions that one provider has opened.

A disabled or removed provider cannot sign anyone in any more, but the sessions that it opened before continue. An
administrator who no longer trusts the provider can end these sessions.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from shared.clock import time_now
from sp.activity import audit
from sp.database.access import Database
from sp.database.models import SessionRecord
from sp.sessions import held
from sp.sessions.ending import end_sessions
from sp.sessions.store import SessionStore

_session: Any = SessionRecord.__table__


class ProviderSessions:
    """Counts and ends sessions by the provider that opened them."""

    def __init__(self, database: Database, sessions: SessionStore) -> None:
        self._database = database
        self._sessions = sessions

    def count(self, provider: str) -> int:
        """Return the number of open sessions of *provider*. Sessions at further sites are not counted separately."""
        now = int(time_now())
        seen = func.coalesce(_session.c.last_seen_at, _session.c.created_at)
        query = (
            select(func.count())
            .select_from(_session)
            .where(_session.c.provider == provider, _session.c.expires_at > now, seen >= now - self._sessions.idle)
            .where(_session.c.site.is_(None))
        )
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one()

    def end(self, provider: str, *, actor: str) -> int:
        """End every session of *provider*, with a line in the audit trail. Return how many sessions ended."""
        with self._database.writing() as connection:
            held.close_of_provider(connection, provider)
            ended = end_sessions(connection, [_session.c.provider == provider])
            if ended:
                audit.record(connection, actor, "sessions ended", provider, {"sessions": [ended, 0]})
        self._sessions.forget()
        return ended
