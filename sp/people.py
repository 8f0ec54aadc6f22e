"""Local accounts: administrators and others who sign in here with a password, and what is done to any account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from shared.errors import SeatLimitReached, StoreUnavailable
from shared.passwords import check_password, hash_password, needs_rehash
from sp import accounts, audit
from sp.models import Account, Identity
from sp.provisioning import email_key
from sp.sessions import SessionStore

COMMAND_LINE = "command line"

_account: Any = Account.__table__
_identity: Any = Identity.__table__
_ACTIVE_ADMINISTRATORS = select(_account.c.id).where(_account.c.is_admin, _account.c.is_active).order_by(_account.c.id)


class LastAdministrator(Exception):
    """The last active administrator is to be disabled: nobody could undo it here."""


@dataclass(frozen=True)
class Person:
    """An account as lists show it."""

    id: int
    email: str
    name: str
    groups: tuple[str, ...]
    is_active: bool
    is_admin: bool
    created_at: datetime
    last_sign_in_at: datetime | None


class People:
    """Finds accounts and changes what only administrators and the command line may change."""

    def __init__(self, engine: Engine, sessions: SessionStore, seat_limit: int) -> None:
        self._engine = engine
        self._writing = engine.execution_options(write=True)
        self._sessions, self._seat_limit = sessions, seat_limit

    def authenticate(self, email: str, password: str) -> Person | None:
        """Return the active person whose password this is, or None, after the same time whoever is asked for."""
        try:
            with self._engine.connect() as connection:
                row = connection.execute(select(_account).where(_account.c.email_key == email_key(email))).first()
        except SQLAlchemyError as error:
            raise StoreUnavailable(f"the database did not answer: {type(error).__name__}") from error
        stored_hash = row.password_hash if row and row.is_active else None
        if not check_password(stored_hash, password) or row is None:
            return None
        if needs_rehash(row.password_hash):
            self._set(row.id, password_hash=hash_password(password))
        return person_of(row)

    def find(self, email: str) -> Person | None:
        """Return the person with this address, or None."""
        with self._engine.connect() as connection:
            row = connection.execute(select(_account).where(_account.c.email_key == email_key(email))).first()
        return person_of(row) if row else None

    def list(self) -> list[Person]:
        """Return everybody, by address."""
        with self._engine.connect() as connection:
            return [person_of(row) for row in connection.execute(select(_account).order_by(_account.c.email_key))]

    def administrator_can_enter(self) -> bool:
        """Tell whether some active administrator has a local password: the way in when single sign-on is broken."""
        columns = (_account.c.is_admin, _account.c.is_active, _account.c.password_hash.is_not(None))
        with self._engine.connect() as connection:
            return connection.execute(select(_account.c.id).where(*columns).limit(1)).first() is not None

    def known_at(self, provider: str) -> int:
        """Return how many accounts have an id at *provider*."""
        query = select(func.count()).select_from(_identity).where(_identity.c.provider == provider)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one()

    def create_administrator(self, email: str, password: str) -> Person:
        """Create an administrator, or make the account with this address one; the password is set in both cases."""
        password_hash = hash_password(password)
        now = datetime.now(UTC)
        with self._writing.begin() as connection:
            known = connection.execute(select(_account.c.id).where(_account.c.email_key == email_key(email))).scalar()
            if known is None:
                _insert_administrator(connection, email, password_hash, now)
            else:
                values = {"is_admin": True, "is_active": True, "password_hash": password_hash}
                connection.execute(update(_account).where(_account.c.id == known).values(**values))
            audit.record(connection, COMMAND_LINE, "administrator created", email)
        person = self.find(email)
        assert person is not None  # noqa: S101  it was inserted a moment ago
        return person

    def disable(self, account_id: int, *, actor: str = COMMAND_LINE, keep_an_administrator: bool = False) -> None:
        """Keep a person out, at once: the sessions end as well.

        With *keep_an_administrator* the last active administrator stays: raises LastAdministrator. The command line
        does without, for who has it can make an administrator at any time.
        """
        with self._writing.begin() as connection:
            # Locked, all of them: two administrators who disable one another at once must not both succeed.
            administrators = connection.execute(_ACTIVE_ADMINISTRATORS.with_for_update()).scalars().all()
            if keep_an_administrator and set(administrators) == {account_id}:
                raise LastAdministrator
            query = update(_account).where(_account.c.id == account_id, _account.c.is_active.is_(True))
            email = connection.execute(query.values(is_active=False).returning(_account.c.email)).scalar()
            if email is not None:
                audit.record(connection, actor, "account disabled", email)
        self._sessions.end(account_id=account_id)

    def enable(self, account_id: int, *, actor: str = COMMAND_LINE) -> None:
        """Let a person in again, or raise SeatLimitReached."""
        with self._writing.begin() as connection:
            query = select(_account.c.is_active, _account.c.email).where(_account.c.id == account_id)
            row = connection.execute(query.with_for_update()).first()
            if row is None or row.is_active:
                return
            if not accounts.has_free_seat(connection, self._seat_limit):
                raise SeatLimitReached("every seat is taken by an active account")
            connection.execute(update(_account).where(_account.c.id == account_id).values(is_active=True))
            audit.record(connection, actor, "account enabled", row.email)

    def sign_out(self, account_id: int, *, actor: str = COMMAND_LINE) -> int:
        """End every session of a person; return how many there were."""
        ended = self._sessions.end(account_id=account_id)
        if ended:
            with self._writing.begin() as connection:
                email = connection.execute(select(_account.c.email).where(_account.c.id == account_id)).scalar_one()
                audit.record(connection, actor, "sessions ended", email, {"sessions": [ended, 0]})
        return ended

    def _set(self, account_id: int, **values: Any) -> None:
        with self._writing.begin() as connection:
            connection.execute(update(_account).where(_account.c.id == account_id).values(**values))


def _insert_administrator(connection: Connection, email: str, password_hash: str, now: datetime) -> None:
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
    connection.execute(insert(_account), values)


def person_of(row: Any) -> Person:
    """Return a row of the table of accounts as lists show it."""
    name = row.name or " ".join(filter(None, (row.given_name, row.family_name)))
    return Person(
        row.id, row.email, name, tuple(row.groups), row.is_active, row.is_admin, row.created_at, row.last_sign_in_at
    )
