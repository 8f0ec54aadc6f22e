"""Store sessions in the database, and cache them in each worker.

The cookie contains a random id. Only the hash of the id is stored, so a copy of the database cannot be used to sign in.
A worker may use a cached session for SP_SESSION_CACHE seconds without reading the database. So a revocation takes
effect within that time.

A session at a further site is valid only as long as its session at home. Each look-up reads both sessions. So the
session at the site cannot stay valid after the other one has ended, even in a race. A request at the further site
counts as use of both sessions for the idle limit.

`sp.sessions.ending` decides which sessions end together. `sp.sessions.listing` has lists and counts.
`sp.sessions.at_sites` opens sessions at further sites.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, update

from shared.clock import time_now
from sp.database.access import Database
from sp.database.models import Account, SessionRecord
from sp.database.prepared import Prepared
from sp.metrics_counters import counters
from sp.routes import HOME
from sp.sessions import held
from sp.sessions.cache import NotCached, SessionCache
from sp.sessions.ending import by_name, by_provider, end_sessions

if TYPE_CHECKING:
    from sp.sessions.provider_sign_out import SignOut

BROWSER, API = "browser", "api"
ID_BYTES = 32
ID_LENGTH = 43  # 32 bytes as base64url without padding
MAX_IP, MAX_USER_AGENT = 45, 200  # characters that are stored
TOUCHES_PER_IDLE_LIMIT = 60  # the time of the last use is written at most 60 times in the time of the idle limit

_session: Any = SessionRecord.__table__
_home: Any = _session.alias("home")
_account: Any = Account.__table__
_COLUMNS = (
    _session.c.public_id,
    _session.c.kind,
    _session.c.provider,
    _session.c.created_at,
    _session.c.last_seen_at,
    _session.c.expires_at,
    _session.c.site,
    _home.c.id_hash.label("home_hash"),
    func.coalesce(_home.c.last_seen_at, _home.c.created_at).label("home_seen_at"),
    _home.c.expires_at.label("home_expires_at"),
    _account.c.id,
    _account.c.email,
    _account.c.name,
    _account.c.given_name,
    _account.c.family_name,
    _account.c.login,
    _account.c.groups,
    _account.c.attributes,
    _account.c.is_admin,
    _account.c.admin_through,
    _account.c.is_active,
)
_FIND = (
    select(*_COLUMNS)
    .join(_account, _account.c.id == _session.c.account_id)
    .outerjoin(_home, and_(_session.c.site.is_not(None), _home.c.id_hash == _session.c.opened_with))
    .where(_session.c.id_hash == bindparam("wanted"))
)
_OPEN: Prepared[Any] = Prepared(insert(_session).inline())
_TOUCH = update(_session).where(_session.c.id_hash == bindparam("wanted")).values(last_seen_at=bindparam("moment"))


@dataclass(frozen=True, slots=True)
class Session:
    """A live session and its person, as last read from the database.

    `full_name` is built from the known name fields. It is empty if no name is known. After `good_until` (seconds of the
    monotonic clock), the session must be read again. `site` is the site where a browser's session is valid. An access
    token is valid at every site. `kept` caches results that depend only on this object.
    """

    public_id: str
    kind: str
    provider: str | None
    created_at: int
    expires_at: int
    account_id: int
    email: str
    full_name: str
    given_name: str | None
    family_name: str | None
    login: str | None
    groups: tuple[str, ...]
    attributes: Mapping[str, Any]
    is_admin: bool
    id_hash: bytes
    good_until: float
    site: str = HOME
    kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)


@dataclass(frozen=True)
class NewSession:
    """A session that will be opened. `secret` is sent to the client, and `id_hash` is stored in the database."""

    secret: str
    id_hash: bytes
    public_id: str

    @classmethod
    def generate(cls) -> NewSession:
        secret = secrets.token_urlsafe(ID_BYTES)
        return cls(secret, hash_id(secret), secrets.token_hex(8))


@dataclass(frozen=True)
class Origin:
    """The data of a new session: its person, the browser or client, its first page, and the site where it is valid.

    `provider`, `subject`, `provider_session` and `claims` come from the provider's token. They are empty after a local
    sign-in.
    """

    account_id: int
    ip: str = ""
    user_agent: str = ""
    return_path: str = "/"
    provider: str | None = None
    subject: str | None = None
    provider_session: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)
    site: str = HOME

    def columns(self) -> dict[str, Any]:
        """Return the data as columns of the session's row."""
        return {
            "account_id": self.account_id,
            "provider": self.provider,
            "subject": self.subject,
            "provider_session": self.provider_session,
            "claims": dict(self.claims),
            "address": self.ip[:MAX_IP],
            "user_agent": self.user_agent[:MAX_USER_AGENT],
            "return_path": self.return_path,
            "site": None if self.site == HOME else self.site,
        }


def hash_id(secret: str) -> bytes:
    """Return the hash of a session id. A fast hash is enough, because the id has 256 random bits."""
    return hashlib.sha256(secret.encode("ascii", "replace")).digest()


class SessionStore:
    """Opens, finds and ends sessions. `idle`, `lifetime` and `cache` are seconds."""

    def __init__(self, database: Database, *, idle: int, lifetime: int, cache: int) -> None:
        self._database = database
        self.idle, self.lifetime, self._cache_seconds = idle, lifetime, cache
        self._touch_after = idle // TOUCHES_PER_IDLE_LIMIT
        self._cache: SessionCache[Session] = SessionCache()

    def find(self, secret: str, kind: str = BROWSER, *, is_use: bool = True) -> Session | None:
        """Return the live session whose id is *secret*, or None. Raises StoreUnavailable.

        If *is_use* is true, the request counts as use for the idle limit. It is false for a request that a page sends
        by itself.
        """
        return self.find_by_hash(hash_id(secret), kind, is_use=is_use) if len(secret) == ID_LENGTH else None

    def find_by_hash(self, id_hash: bytes, kind: str = BROWSER, is_use: bool = True) -> Session | None:
        """Return the live session whose id has this hash, as `find` does."""
        session = self._cache.get(id_hash)
        if session is None or time.monotonic() >= session.good_until:
            session = self._look_up(id_hash, kind, is_use)
        return session if session is not None and session.kind == kind else None

    def find_at_once(self, id_hash: bytes, kind: str = BROWSER) -> Session | None:
        """Find a session as `find_by_hash` does, but only in the cache.

        Raises NotCached if it is not there, or must be read again.
        """
        session = self._cache.get(id_hash)
        if session is None or time.monotonic() >= session.good_until:
            raise NotCached
        return session if session.kind == kind else None

    def open(
        self,
        connection: Connection,
        new: NewSession,
        origin: Origin,
        *,
        now: int,
        kind: str = BROWSER,
        opened_with: NewSession | None = None,
    ) -> None:
        """Insert the session *new* within the caller's transaction.

        If *opened_with* is given, the new session ends together with that session.
        """
        values = {
            "id_hash": new.id_hash,
            "public_id": new.public_id,
            "kind": kind,
            "created_at": now,
            "expires_at": now + self.lifetime,
            "opened_with": opened_with.id_hash if opened_with else None,
        }
        _OPEN.run(connection, values | origin.columns())

    def end(self, *, id_hash: bytes | None = None, public_id: str | None = None, account_id: int | None = None) -> int:
        """End the sessions that meet every given condition, and return how many ended.

        At least one condition must be given. Raises StoreUnavailable.
        """
        with self._database.writing() as connection:
            ended = self.end_within(connection, id_hash=id_hash, public_id=public_id, account_id=account_id)
        self.forget()
        return ended

    def end_within(
        self,
        connection: Connection,
        *,
        id_hash: bytes | None = None,
        public_id: str | None = None,
        account_id: int | None = None,
    ) -> int:
        """End sessions as `end` does, within the caller's transaction. The caller commits, and then calls `forget`."""
        if account_id is not None and id_hash is None and public_id is None:  # all sessions of the account
            held.close_of_account(connection, account_id)
        return end_sessions(connection, by_name(id_hash, public_id, account_id))

    def end_at_provider(self, connection: Connection, sign_out: SignOut, *, only: bytes | None = None) -> int:
        """End the sessions, and delete the held tokens, that a provider's sign-out names. Return how many ended.

        Like `end_within`, this runs within the caller's transaction. *only* is the hash of a session's id. If it is
        given, at most this session and its family end: they end if the sign-out names this session.
        """
        held.close_by_sign_out(connection, sign_out)
        return end_sessions(connection, by_provider(sign_out, only))

    def clean_up(self, now: int, connection: Connection, rows: int) -> int:
        """Delete up to *rows* expired sessions, and return how many were deleted."""
        over = _session.c.expires_at < now
        gone = select(_session.c.id_hash).where(over).limit(rows).with_for_update(skip_locked=True)
        return connection.execute(delete(_session).where(_session.c.id_hash.in_(gone))).rowcount

    def replace(self, connection: Connection, id_hash: bytes) -> None:
        """End a session in the transaction that opens the same browser's next session (ASVS 5.0, 7.2.4)."""
        self.end_within(connection, id_hash=id_hash)
        self._cache.drop(id_hash)

    def forget_one(self, id_hash: bytes) -> None:
        """Drop one session from this worker's cache."""
        self._cache.drop(id_hash)

    def forget(self) -> None:
        """Empty this worker's cache."""
        self._cache.clear()

    def _look_up(self, id_hash: bytes, kind: str, is_use: bool) -> Session | None:
        """Read a session, record its use, and cache it until it may have reached one of its limits.

        If *is_use* is false, the use is not recorded. If it would have been time to record a use, the cached session is
        not valid for the next request, so that the next use is recorded.
        """
        asked_at = time.monotonic()
        counters.session_query()
        with self._database.reading() as connection:
            row = connection.execute(_FIND, {"wanted": id_hash}).first()
        now = int(time_now())
        if row is None or not self._is_alive(row, now) or row.kind != kind:
            self._cache.drop(id_hash)
            return None
        touched_at = row.last_seen_at if row.home_hash is None else min(row.last_seen_at or 0, row.home_seen_at)
        if is_use and (touched_at is None or now - touched_at > self._touch_after):
            self._touch(id_hash, now)
            if row.home_hash is not None:
                self._touch(row.home_hash, now)
            touched_at = now
        limits = (self._cache_seconds, row.expires_at - now, (touched_at or 0) + self._touch_after + 1 - now)
        session = Session(
            public_id=row.public_id,
            kind=row.kind,
            provider=row.provider,
            created_at=row.created_at,
            expires_at=row.expires_at,
            account_id=row.id,
            email=row.email,
            full_name=row.name or " ".join(filter(None, (row.given_name, row.family_name))),
            given_name=row.given_name,
            family_name=row.family_name,
            login=row.login,
            groups=tuple(row.groups),
            attributes=row.attributes,
            is_admin=row.is_admin or _by_group(row),
            id_hash=id_hash,
            good_until=asked_at + min(limits),
            site=row.site or HOME,
        )
        if self._cache_seconds:
            self._cache.put(session)
        return session

    def _is_alive(self, row: Any, now: int) -> bool:
        if not row.is_active or now >= row.expires_at:
            return False
        if row.site is None:
            return bool(now - (row.last_seen_at or row.created_at) <= self.idle)
        return bool(row.home_hash is not None and now < row.home_expires_at and now - row.home_seen_at <= self.idle)

    def _touch(self, id_hash: bytes, now: int) -> None:
        """Record the use of one session, in a separate transaction for each row.

        Two transactions that lock the same two rows could deadlock.
        """
        with self._database.writing() as connection:
            connection.execute(_TOUCH, {"wanted": id_hash, "moment": now})


def _by_group(row: Any) -> bool:
    """Tell whether the person is an administrator through a group of the provider that opened the session.

    If another provider opens a session of the same account, that session does not have the right.
    """
    return row.admin_through is not None and row.admin_through == row.provider
