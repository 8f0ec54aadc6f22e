"""Open sessions at further sites.

Each of them belongs to a browser's session at home, and is valid only as long as that session.

The session at home is read without a lock, so that a hand-over and a sign-out never wait for each other. If the session
at home ends at the same moment, the row of the session at the site may be left over. But then it is not valid, because
`sp.sessions.store` reads both sessions at each look-up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from sp.database.models import Account, SessionRecord
from sp.sessions.store import BROWSER, NewSession, Origin

_session: Any = SessionRecord.__table__
_account: Any = Account.__table__
_FIND = (
    select(
        _session.c.id_hash,
        _session.c.account_id,
        _account.c.email,
        _session.c.provider,
        _session.c.subject,
        _session.c.provider_session,
        _session.c.claims,
        _session.c.expires_at,
    )
    .join(_account, _account.c.id == _session.c.account_id)
    .where(_session.c.id_hash == bindparam("wanted"), _session.c.kind == BROWSER, _session.c.site.is_(None))
    .where(_account.c.is_active.is_(True), _session.c.expires_at > bindparam("now"))
    .where(func.coalesce(_session.c.last_seen_at, _session.c.created_at) >= bindparam("since"))
)
_OPEN = insert(_session)


@dataclass(frozen=True)
class HomeSession:
    """A browser's live session at home, with the data by which a sign-out later finds the sessions opened with it."""

    id_hash: bytes
    account_id: int
    email: str
    provider: str | None
    subject: str | None
    provider_session: str | None
    claims: Mapping[str, Any]
    expires_at: int

    def origin(self, site: str, ip: str, user_agent: str) -> Origin:
        """Return the origin of a session at *site* that belongs to this session.

        The first page of the new session is not stored. It is needed only for sessions at home, and its query may
        contain an access token.
        """
        return Origin(
            self.account_id,
            ip,
            user_agent,
            provider=self.provider,
            subject=self.subject,
            provider_session=self.provider_session,
            claims=self.claims,
            site=site,
        )


def find_home(connection: Connection, id_hash: bytes, now: int, idle: int) -> HomeSession | None:
    """Return the live session at home whose id has this hash, or None. *idle* is the idle limit in seconds."""
    row = connection.execute(_FIND, {"wanted": id_hash, "now": now, "since": now - idle}).first()
    return HomeSession(*row) if row else None


def open_at_site(connection: Connection, new: NewSession, origin: Origin, home: HomeSession, now: int) -> None:
    """Insert the session *new* at the site of *origin*. It expires and ends together with *home*."""
    values = {
        "id_hash": new.id_hash,
        "public_id": new.public_id,
        "kind": BROWSER,
        "created_at": now,
        "expires_at": home.expires_at,
        "opened_with": home.id_hash,
    }
    connection.execute(_OPEN, values | origin.columns())


def replace_at_site(connection: Connection, id_hash: bytes, site: str) -> None:
    """End this browser's old session at *site*, but not its family: the new session may belong to the same family."""
    connection.execute(delete(_session).where(_session.c.id_hash == id_hash, _session.c.site == site))
