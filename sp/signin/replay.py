"""Remember which tokens were already spent.

A stolen token is dangerous only while it would still be accepted, so an entry is kept that long. The interface cannot
ask whether a token is spent, only spend it: if two copies arrive at once, ask-then-store would accept both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from shared.errors import TokenReplayed
from sp.database.access import Database
from sp.database.models import SpentToken
from sp.database.prepared import Prepared

Result = TypeVar("Result")
SendAlso = Callable[[Connection], None]  # sends statements together with the one that spends the token
_table: Any = SpentToken.__table__
_FIRST_USE = select(_table.c.session_hash, _table.c.pending_hash, _table.c.return_path).where(
    _table.c.key == bindparam("wanted")
)


@dataclass(frozen=True)
class FirstUse:
    """What is stored with a spent token, to recognise the browser that used it.

    The fields are the hashes of the opened session and of the answered pending sign-in, and the path of the redirect.
    """

    session_hash: bytes | None = None
    pending_hash: bytes | None = None
    return_path: str | None = None


@dataclass(frozen=True)
class Spending:
    """A token to spend. Its *key* is stored with its first use until the time *until*, in seconds since 1970."""

    key: bytes
    until: int
    use: FirstUse = FirstUse()


def nothing(_connection: Connection) -> None:
    """Send no other statement."""


class ReplayCache(Protocol):
    """Spends each token once, with any number of threads, workers and nodes. `store` is its name in messages."""

    store: str

    def spend(
        self, database: Database, token: Spending, work: Callable[[Connection], Result], send_also: SendAlso = nothing
    ) -> Result:
        """Spend *token* atomically, then do *work* in a transaction; return its result after both are stored.

        *send_also* may send queries, whose results *work* uses. On PostgreSQL they come with the answer to the
        spending.

        Raises TokenReplayed, without doing *work*, if the token was spent before, and StoreUnavailable if the store
        gives no clear answer. If *work* raises, its changes are rolled back, and the token becomes unspent if the store
        can be reached. `Database.together` lists what *work* must not do.
        """

    def first_use(self, database: Database, key: bytes) -> FirstUse | None:
        """Return the data that was stored when the token was spent, or None."""

    def check(self) -> str | None:
        """Return a warning about the store's clock, or None. Raises StoreUnavailable if there is no answer."""


def answer_key(key: bytes) -> bytes:
    """Return the key to spend when the question about a spent token is answered, so that the answer works only once."""
    return hashlib.sha256(b"answer\0" + key).digest()[:16]


class SqlReplayCache:
    """Stores spent tokens in the gateway's database, in the sign-in's transaction: both are committed, or neither."""

    store = "database"

    def __init__(self, dialect: str) -> None:
        build = postgresql_insert if dialect == "postgresql" else sqlite_insert
        # RETURNING, because not every driver reports a reliable row count after ON CONFLICT DO NOTHING
        self._insert: Prepared[Any] = Prepared(build(_table).on_conflict_do_nothing().returning(_table.c.key))

    def spend(
        self, database: Database, token: Spending, work: Callable[[Connection], Result], send_also: SendAlso = nothing
    ) -> Result:
        """Spend *token* by the first statement of the transaction."""

        def spend_and_work(connection: Connection) -> Result:
            values = {"key": token.key, "expires_at": token.until, **vars(token.use)}
            spent = self._insert.send(connection, values)
            send_also(connection)
            if spent.first() is None:
                raise TokenReplayed("the token was used before")
            return work(connection)

        return database.together(spend_and_work)

    def first_use(self, database: Database, key: bytes) -> FirstUse | None:
        """Return what was stored when the token was spent, or None."""
        with database.reading() as connection:
            row = connection.execute(_FIRST_USE, {"wanted": key}).first()
        return FirstUse(*row) if row else None

    def check(self) -> str | None:
        """Return None: `/readyz` checks the database separately."""
        return None


def clean_up(now: int, connection: Connection, rows: int) -> int:
    """Delete up to *rows* expired entries; return how many were deleted."""
    gone = select(_table.c.key).where(_table.c.expires_at < now).limit(rows).with_for_update(skip_locked=True)
    return connection.execute(delete(_table).where(_table.c.key.in_(gone))).rowcount
