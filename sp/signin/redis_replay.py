"""Spent tokens in Redis (appendonly, noeviction), for gateways on several machines that want them out of the database.

What Redis has acknowledged survives its death only with `appendfsync always`: with `everysec` it may answer while an
earlier write is still on its way to the disk, and forget the last two seconds when it is killed then.

Redis is asked before the database's transaction begins and after it has ended, never within: a Redis that hangs must
not hold the one writer of SQLite. Its lifetimes are relative, because its clock may be minutes ahead of ours, and a
moment that has passed already means: keep nothing, and answer OK.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection

from shared.breaker import Breaker, StoreHangs
from shared.clock import time_now
from shared.clocks import complaint, seconds_ahead
from shared.errors import StoreUnavailable, TokenReplayed
from shared.extras import load_extra
from sp.database.access import Database
from sp.signin.replay import Trace

TIMEOUT = 1.0  # seconds, to connect and again to answer
# A late DELETE, which Redis finds in its queue when it wakes up, must not forget what another request has spent since.
_DELETE_IF_MINE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisReplayCache:
    """Implements `sp.signin.replay.ReplayCache`. *clock* is the one by which tokens run out: seconds since 1970."""

    store = "Redis"

    def __init__(self, url: str, *, clock: Callable[[], float] = time_now) -> None:
        redis = self._library = load_extra("redis", "redis", "SP_REPLAY_URL")
        # No retry: after a broken connection it is unknown whether the first try has spent the token.
        self._redis = redis.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=None)
        self._breaker = Breaker(time.monotonic)
        self._clock = clock

    @contextmanager
    def spending(self, database: Database, key: bytes, until: int, trace: Trace) -> Iterator[Connection]:
        """Spend *key*, then begin the transaction; spend it back if that fails before the commit is under way.

        A commit that fails may have happened all the same, and a process may die: then the token stays spent.
        """
        mine = self._spend(key, until, trace)
        may_be_committed = False
        try:
            with database.writing() as connection:
                yield connection
                may_be_committed = True
        except Exception:
            if not may_be_committed:
                self._unspend(key, mine)
            raise

    def trace(self, database: Database, key: bytes) -> Trace | None:
        """Return what the token left when it was spent, or None. Raises StoreUnavailable."""
        with self._asking():
            value: Any = self._redis.get(_name(key))
        if value is None:
            return None
        try:
            kept = json.loads(value)
            kept.pop("by", None)
            for name in ("session_hash", "pending_hash"):
                kept[name] = bytes.fromhex(kept[name]) if kept[name] else None
            return Trace(**kept)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreUnavailable("Redis holds something else under the name of a spent token") from error

    def check(self) -> str | None:
        """Return what to say of Redis' clock; None if it is right. Raises StoreUnavailable unless Redis answers."""

        def ask() -> float:
            seconds, microseconds = self._redis.time()
            return float(seconds) + float(microseconds) / 1e6

        with self._asking():
            self._redis.ping()  # so that what a new connection takes is not counted
            return complaint("Redis", seconds_ahead(ask, self._clock))

    def _spend(self, key: bytes, until: int, trace: Trace) -> str:
        """Return the value under which the token was spent, which no other request can have written."""
        kept = {name: value.hex() if isinstance(value, bytes) else value for name, value in vars(trace).items()}
        value = json.dumps({**kept, "by": os.urandom(8).hex()})
        lifetime = max(1, until - int(self._clock()))  # seconds
        with self._asking():
            stored = self._redis.set(_name(key), value, nx=True, ex=lifetime)
        if not stored:
            raise TokenReplayed("the token was used before")
        return value

    def _unspend(self, key: bytes, mine: str) -> None:
        with suppress(StoreUnavailable), self._asking():  # or else it stays spent: the safe side
            self._redis.eval(_DELETE_IF_MINE, 1, _name(key), mine)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            with self._breaker.asking((self._library.TimeoutError,)):
                yield
        except StoreHangs as error:
            raise StoreUnavailable("Redis did not answer a moment ago, and is asked again soon") from error
        except self._library.RedisError as error:
            raise StoreUnavailable(f"Redis did not answer: {type(error).__name__}") from error


def _name(key: bytes) -> str:
    return f"lychgate:spent:{key.hex()}"
