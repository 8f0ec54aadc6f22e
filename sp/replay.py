"""Remember which tokens were already spent.

A stolen token is dangerous only while it would still be accepted, so an entry lives exactly that long. Asking first
and storing afterwards would let two copies of a token through that arrive at once, so one cannot ask: one spends.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import redis
from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from shared.errors import StoreUnavailable, TokenReplayed
from sp.models import SpentToken

REDIS_TIMEOUT = 2.0  # seconds

_table: Any = SpentToken.__table__
_TRACE = select(_table.c.session_hash, _table.c.pending_hash, _table.c.return_path).where(
    _table.c.key == bindparam("wanted")
)


@dataclass(frozen=True)
class Trace:
    """What a spent token left: by it the browser that used the token is told from every other one.

    Hashes of the session that it opened and of the pending sign-in that it answered, and the path it led to.
    """

    session_hash: bytes | None = None
    pending_hash: bytes | None = None
    return_path: str | None = None


class ReplayCache(Protocol):
    """Spends tokens, each once, whatever the number of threads, workers and nodes."""

    def spend(self, connection: Connection, key: bytes, until: int, trace: Trace) -> None:
        """Atomically remember *key* until then; raise TokenReplayed if it was there, StoreUnavailable if in doubt."""

    def unspend(self, key: bytes) -> None:
        """Forget *key*, for a sign-in that failed before anything was committed."""

    def trace(self, connection: Connection, key: bytes) -> Trace | None:
        """Return what the token left when it was spent, or None if it is not remembered."""


def token_key(provider: str, token_id: str) -> bytes:
    """Return the 16 bytes by which a token is remembered: (provider, jti), never the token's text.

    Padding, or the second form of an ECDSA signature, give one token another text; its jti stays.
    """
    return hashlib.sha256(f"{provider}\0{token_id}".encode("utf-8", "surrogatepass")).digest()[:16]


class SqlReplayCache:
    """In the gateway's database, within the sign-in's own transaction: both are committed, or neither is."""

    def __init__(self, dialect: str) -> None:
        build = postgresql_insert if dialect == "postgresql" else sqlite_insert
        # RETURNING, because the row count after ON CONFLICT DO NOTHING is not to be trusted everywhere
        self._insert = build(_table).on_conflict_do_nothing().returning(_table.c.key)

    def spend(self, connection: Connection, key: bytes, until: int, trace: Trace) -> None:
        values = {"key": key, "expires_at": until, **vars(trace)}
        if connection.execute(self._insert, values).first() is None:
            raise TokenReplayed("the token was used before")

    def unspend(self, key: bytes) -> None:
        """Nothing to do: the transaction is rolled back, and the entry with it."""

    def trace(self, connection: Connection, key: bytes) -> Trace | None:
        row = connection.execute(_TRACE, {"wanted": key}).first()
        return Trace(*row) if row else None


class RedisReplayCache:
    """In Redis (appendonly, noeviction), for gateways on several machines that want it out of the database.

    What Redis has acknowledged survives its death only with `appendfsync always`: with `everysec` it may answer while
    an earlier write is still on its way to the disk, and forget the last two seconds when it is killed then.
    """

    def __init__(self, url: str) -> None:
        # No retry: after a broken connection it is unknown whether the first try has spent the token.
        self._redis = redis.Redis.from_url(
            url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT, retry=None
        )

    def spend(self, connection: Connection, key: bytes, until: int, trace: Trace) -> None:
        value = json.dumps({n: v.hex() if isinstance(v, bytes) else v for n, v in vars(trace).items()})
        try:
            stored = self._redis.set(_redis_name(key), value, nx=True, exat=until)
        except redis.RedisError as error:
            raise StoreUnavailable(f"Redis did not answer: {type(error).__name__}") from error
        if not stored:
            raise TokenReplayed("the token was used before")

    def unspend(self, key: bytes) -> None:
        with suppress(redis.RedisError):  # then it stays spent: the safe side
            self._redis.delete(_redis_name(key))

    def trace(self, connection: Connection, key: bytes) -> Trace | None:
        try:
            value: Any = self._redis.get(_redis_name(key))
        except redis.RedisError as error:
            raise StoreUnavailable(f"Redis did not answer: {type(error).__name__}") from error
        if value is None:
            return None
        try:
            kept = json.loads(value)
            for name in ("session_hash", "pending_hash"):
                kept[name] = bytes.fromhex(kept[name]) if kept[name] else None
            return Trace(**kept)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreUnavailable("Redis holds something else under the name of a spent token") from error

    def ping(self) -> None:
        """Raise StoreUnavailable unless Redis answers."""
        try:
            self._redis.ping()
        except redis.RedisError as error:
            raise StoreUnavailable(f"Redis did not answer: {type(error).__name__}") from error


def clean_up(now: int, connection: Connection, rows: int) -> int:
    """Delete up to *rows* entries that have run out; return how many there were."""
    gone = select(_table.c.key).where(_table.c.expires_at < now).limit(rows).with_for_update(skip_locked=True)
    return connection.execute(delete(_table).where(_table.c.key.in_(gone))).rowcount


def _redis_name(key: bytes) -> str:
    return f"lychgate:spent:{key.hex()}"
