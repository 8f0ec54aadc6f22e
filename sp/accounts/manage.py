"""Manage accounts: create administrators, enable, disable and sign out any account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from shared.clock import utc_now
from shared.errors import SeatLimitReached
from shared.passwords import check_password, hash_password, needs_rehash
from sp.accounts import rows as accounts
from sp.accounts.rows import KnownAs
from sp.activity import audit
from sp.database.access import Database
from sp.database.models import Account, Identity
from sp.emails import email_key
from sp.sessions.ending import by_password, end_sessions
from sp.sessions.store import SessionStore

COMMAND_LINE = "command line"

_account: Any = Account.__table__
_identity: Any = Identity.__table__
_BY_EMAIL = select(_account).where(_account.c.email_key == bindparam("email"))
ACTIVE_ADMINISTRATORS = select(_account.c.id).where(_account.c.is_admin, _account.c.is_active).order_by(_account.c.id)


class LastAdministrator(Exception):
    """The last active administrator would be disabled or dismissed.

    Then no administrator could undo this on the pages. The command line could.
    """


class PasswordChanged(Exception):
    """The password was changed, or the account disabled, between the password check and the session."""


class ControlledByProviders(Exception):
    """The account has IDs at providers, so these providers could sign anyone in as this administrator."""

    def __init__(self, identities: Sequence[KnownAs]) -> None:
        super().__init__(f"{len(identities)} ids at providers sign in as this account")
        self.identities = identities


@dataclass(frozen=True)
class AccountSummary:
    """An account in a list.

    `is_admin` is True for an administrator who was appointed by hand. `admin_through` is the provider whose group makes
    the account an administrator.
    """

    id: int
    email: str
    name: str
    groups: tuple[str, ...]
    is_active: bool
    is_admin: bool
    created_at: datetime
    last_sign_in_at: datetime | None
    admin_through: str | None = None


@dataclass(frozen=True)
class Proven:
    """A person who gave the correct password, and the hash with which it was verified (see `confirm`)."""

    person: AccountSummary
    stored_hash: str = field(repr=False)


@dataclass(frozen=True)
class Appointed:
    """The administrator that the command line created, with notes for the operator.

    `enabled` is True if the account was disabled before. `kept` has the ids that sign in to the account. `beyond_limit`
    is True if the command made an account active although no seat was free.
    """

    person: AccountSummary
    enabled: bool
    kept: tuple[KnownAs, ...]
    beyond_limit: bool


class People:
    """Finds accounts, and makes the changes that only administrators and the command line may make."""

    def __init__(self, database: Database, sessions: SessionStore, seat_limit: int) -> None:
        self._database = database
        self._sessions, self._seat_limit = sessions, seat_limit

    def authenticate(self, email: str, password: str) -> Proven | None:
        """Return the active person with this e-mail and password, or None. Takes the same time for every e-mail."""
        with self._database.reading() as connection:
            row = connection.execute(_BY_EMAIL, {"email": email_key(email)}).first()
        stored_hash = row.password_hash if row and row.is_active else None
        if not check_password(stored_hash, password) or row is None:
            return None
        if not needs_rehash(row.password_hash):
            return Proven(person_of(row), row.password_hash)
        new_hash = hash_password(password)
        if self._rehash(row, new_hash):
            return Proven(person_of(row), new_hash)
        return self.authenticate(email, password)  # another hash was stored, perhaps of a new password

    def why_not(self, email: str) -> str:
        """Return why a password was wrong, for the administrator.

        Every answer takes one query, so the time is the same.
        """
        with self._database.reading() as connection:
            row = connection.execute(_BY_EMAIL, {"email": email_key(email)}).first()
        if row is None:
            return "no account has this e-mail address"
        if not row.is_active:
            return f"the account {row.id} is disabled"
        return "wrong password" if row.password_hash else f"the account {row.id} has no password: single sign-on only"

    def find(self, email: str) -> AccountSummary | None:
        """Return the person with this e-mail, or None."""
        with self._database.reading() as connection:
            row = connection.execute(_BY_EMAIL, {"email": email_key(email)}).first()
        return person_of(row) if row else None

    def list(self) -> list[AccountSummary]:
        """Return all people, ordered by e-mail."""
        with self._database.reading() as connection:
            return [person_of(row) for row in connection.execute(select(_account).order_by(_account.c.email_key))]

    def administrator_can_enter(self) -> bool:
        """Tell whether some active administrator can sign in with a local password when single sign-on is broken."""
        columns = (_account.c.is_admin, _account.c.is_active, _account.c.password_hash.is_not(None))
        with self._database.reading() as connection:
            return connection.execute(select(_account.c.id).where(*columns).limit(1)).first() is not None

    def known_at(self, provider: str) -> int:
        """Return how many accounts have an id at *provider*."""
        query = select(func.count()).select_from(_identity).where(_identity.c.provider == provider)
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one()

    def create_administrator(self, email: str, password: str, *, keep_identities: bool = False) -> Appointed:
        """Create an administrator, or make the account with this e-mail an administrator. Set the password.

        A disabled account is enabled. Raises PasswordRefused if the password is too short or too long.

        Raises ControlledByProviders if the account has ids at providers, because these providers could then sign in as
        an administrator. If *keep_identities* is True, the operator allows this. The sessions that were opened with the
        earlier password end. The seat limit is ignored, because this command must work even if nothing else works.
        """
        password_hash = hash_password(password)
        now = utc_now()
        with self._database.writing() as connection:
            # Lock the row: a sign-in that would link to the account at this moment waits, and then finds an
            # administrator.
            row = connection.execute(_BY_EMAIL.with_for_update(), {"email": email_key(email)}).first()
            kept = accounts.identities_of(connection, row.id) if row else ()
            if kept and not keep_identities:
                raise ControlledByProviders(kept)
            beyond = (row is None or not row.is_active) and not accounts.has_free_seat(connection, self._seat_limit)
            if row is None:
                row = _insert_administrator(connection, email, password_hash, now)
                audit.record(connection, COMMAND_LINE, "administrator created", email)
                return Appointed(person_of(row), False, (), beyond)
            query = update(_account).where(_account.c.id == row.id).returning(_account)
            values = {"is_admin": True, "is_active": True, "password_hash": password_hash}
            after = connection.execute(query.values(**values)).one()
            end_sessions(connection, by_password(row.id))
            audit.record(connection, COMMAND_LINE, "administrator created", row.email, _raised(row, kept))
        self._sessions.forget()
        return Appointed(person_of(after), not row.is_active, kept, beyond)

    def disable(self, account_id: int, *, actor: str = COMMAND_LINE, keep_an_administrator: bool = False) -> None:
        """Disable a person at once, and end their sessions.

        If *keep_an_administrator* is True, raise LastAdministrator for the last active administrator. The command line
        leaves it False, because it can create an administrator at any time.
        """
        with self._database.writing() as connection:
            # Lock the rows of all administrators: if two of them disable each other at once, only one may succeed.
            administrators = connection.execute(ACTIVE_ADMINISTRATORS.with_for_update()).scalars().all()
            if keep_an_administrator and set(administrators) == {account_id}:
                raise LastAdministrator
            query = update(_account).where(_account.c.id == account_id, _account.c.is_active.is_(True))
            email = connection.execute(query.values(is_active=False).returning(_account.c.email)).scalar()
            self._sessions.end_within(connection, account_id=account_id)
            if email is not None:
                audit.record(connection, actor, "account disabled", email)
        self._sessions.forget()

    def enable(self, account_id: int, *, actor: str = COMMAND_LINE) -> None:
        """Enable a person again, or raise SeatLimitReached."""
        with self._database.writing() as connection:
            query = select(_account.c.is_active, _account.c.email).where(_account.c.id == account_id)
            row = connection.execute(query.with_for_update()).first()
            if row is None or row.is_active:
                return
            if not accounts.has_free_seat(connection, self._seat_limit):
                raise SeatLimitReached("every seat is taken by an active account")
            connection.execute(update(_account).where(_account.c.id == account_id).values(is_active=True))
            audit.record(connection, actor, "account enabled", row.email)

    def sign_out(self, account_id: int, *, actor: str = COMMAND_LINE, public_id: str | None = None) -> int:
        """End every session of a person, or only the session *public_id*; return how many sessions ended."""
        with self._database.writing() as connection:
            ended = self._sessions.end_within(connection, account_id=account_id, public_id=public_id)
            if ended:
                email = connection.execute(select(_account.c.email).where(_account.c.id == account_id)).scalar_one()
                if public_id is None:
                    audit.record(connection, actor, "sessions ended", email, {"sessions": [ended, 0]})
                else:
                    audit.record(connection, actor, "session ended", email, {"session": [public_id, None]})
        self._sessions.forget()
        return ended

    def _rehash(self, row: Any, new_hash: str) -> bool:
        """Replace the password hash in *row* by *new_hash*; return whether the old hash was still stored."""
        still = (_account.c.id == row.id, _account.c.password_hash == row.password_hash)
        with self._database.writing() as connection:
            changed = connection.execute(update(_account).where(*still).values(password_hash=new_hash))
        return bool(changed.rowcount)


def confirm(connection: Connection, proven: Proven) -> None:
    """Raise PasswordChanged if, since the check, the password was changed or the account was disabled or removed.

    The row stays locked until the caller's transaction ends. A change of the password waits until then, and then ends
    the new session.
    """
    query = select(_account.c.password_hash, _account.c.is_active).where(_account.c.id == proven.person.id)
    row = connection.execute(query.with_for_update()).first()
    if row is None or not row.is_active or row.password_hash != proven.stored_hash:
        raise PasswordChanged


def _insert_administrator(connection: Connection, email: str, password_hash: str, now: datetime) -> Any:
    values = {
        "email": email,
        "email_key": email_key(email),
        "groups": [],
        "attributes": {},
        "is_active": True,
        "is_admin": True,
        "password_hash": password_hash,
        "created_at": now,
    }
    return connection.execute(insert(_account).returning(_account), values).one()


def _raised(before: Any, kept: Sequence[KnownAs]) -> dict[str, Any]:
    """Return the changes to an existing account, as [before, after]."""
    flags = {"active": before.is_active, "administrator": before.is_admin}
    detail: dict[str, Any] = {name: [False, True] for name, was in flags.items() if not was}
    if kept:
        detail["ids kept"] = [None, [f"{known.provider}: {known.subject}" for known in kept]]
    return detail


def person_of(row: Any) -> AccountSummary:
    """Return the summary of a row of the table of accounts."""
    name = row.name or " ".join(filter(None, (row.given_name, row.family_name)))
    return AccountSummary(
        row.id,
        row.email,
        name,
        tuple(row.groups),
        row.is_active,
        row.is_admin,
        row.created_at,
        row.last_sign_in_at,
        row.admin_through,
    )
