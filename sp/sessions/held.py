"""Store verified and spent tokens while the person is asked "Continue as X?". Such a token is called held.

The row of a held token is the permission to open one session. It is valid for LIFETIME seconds after the token first
arrived, even if the question is shown again. The transaction that opens the session deletes the row. The row is also
deleted by everything that would end the session: a sign-out at the provider, an administrator who ends sessions, and
the answer "not me".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, and_, delete, insert, or_, select

from shared.claims import Claims
from shared.clock import time_now
from sp.database.access import Database
from sp.database.models import Account, HeldToken, Identity
from sp.emails import email_key
from sp.sessions.ending import named_by, provider_session_of

if TYPE_CHECKING:
    from sp.sessions.provider_sign_out import SignOut

LIFETIME = 300  # seconds in which a question can be answered

_table: Any = HeldToken.__table__
_account: Any = Account.__table__
_identity: Any = Identity.__table__


class NotHeld(Exception):
    """The token is no longer held.

    It is too old, its question was answered, or it was deleted because sessions were ended.
    """


class HeldTokens:
    """Looks up held tokens, and deletes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pending_hash(self, key: bytes) -> bytes | None:
        """Return the hash of the pending sign-in for which the token with *key* is held, or None if it is not held."""
        query = select(_table.c.pending_hash).where(_table.c.key == key, _table.c.expires_at > int(time_now()))
        with self._database.reading() as connection:
            found: bytes | None = connection.execute(query).scalar()
        return found

    def close(self, key: bytes) -> None:
        """Delete the held token with *key*, so that it cannot open a session."""
        with self._database.writing() as connection:
            connection.execute(delete(_table).where(_table.c.key == key))

    def close_all_of(self, account_id: int) -> None:
        """Delete all held tokens that would open a session of this account."""
        with self._database.writing() as connection:
            close_of_account(connection, account_id)


def hold(
    connection: Connection,
    key: bytes,
    provider: str,
    claims: Claims,
    subject: str,
    email: str,
    pending_hash: bytes,
    now: int,
) -> None:
    """Store a token as held, within the transaction that spends it."""
    connection.execute(
        insert(_table),
        {
            "key": key,
            "expires_at": now + LIFETIME,
            "pending_hash": pending_hash,
            "provider": provider,
            "subject": subject,
            "email_key": email_key(email),
            "provider_session": provider_session_of(claims),
            "claims": claims.raw,
        },
    )


def take(connection: Connection, key: bytes, now: int) -> None:
    """Delete the row of a held token, within the transaction that opens the session. Raises NotHeld."""
    held = delete(_table).where(_table.c.key == key, _table.c.expires_at > now)
    if connection.execute(held.returning(_table.c.key)).first() is None:
        raise NotHeld


def close_by_sign_out(connection: Connection, sign_out: SignOut) -> None:
    """Delete the held tokens that a provider's sign-out names.

    This comes before the sign-out ends sessions, so that no answer can open a session in between.
    """
    has_email = _table.c.email_key.in_(sign_out.emails)
    connection.execute(delete(_table).where(*named_by(sign_out, _table.c, has_email)))


def close_of_account(connection: Connection, account_id: int) -> None:
    """Delete the held tokens that would open a session of this account.

    They have one of the account's ids at a provider, or its e-mail.
    """
    ids = select(_identity.c.provider, _identity.c.subject).where(_identity.c.account_id == account_id)
    email = select(_account.c.email_key).where(_account.c.id == account_id)
    known = ids.subquery()
    by_id = and_(_table.c.provider == known.c.provider, _table.c.subject == known.c.subject)
    theirs = or_(select(known.c.subject).where(by_id).exists(), _table.c.email_key.in_(email))
    connection.execute(delete(_table).where(theirs))


def close_of_provider(connection: Connection, provider: str) -> None:
    """Delete the held tokens of this provider."""
    connection.execute(delete(_table).where(_table.c.provider == provider))


def clean_up(now: int, connection: Connection, rows: int) -> int:
    """Delete up to *rows* rows that are too old, and return how many were deleted."""
    gone = select(_table.c.key).where(_table.c.expires_at < now).limit(rows).with_for_update(skip_locked=True)
    return connection.execute(delete(_table).where(_table.c.key.in_(gone))).rowcount
