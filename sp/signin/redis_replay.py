"""Keep spent tokens in Redis (appendonly, noeviction) instead of the database, for gateways on several machines.

With `appendfsync always`, Redis loses no acknowledged write in a crash. With `everysec` it answers before the write is
on the disk, and a crash can lose the last two seconds.

Redis is called before the database transaction begins and after it has ended, never inside it: a hanging Redis must not
block the only writer of SQLite. Lifetimes in Redis are relative (EX), because its clock may be minutes ahead of ours.
If an absolute time (EXAT) has already passed on the clock of Redis, it would answer OK and store nothing.
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
from sp.database.prepared import catch_up
from sp.database.shared_commits import OutcomeUnknown
from sp.metrics_counters import REDIS, STORING, counters
from sp.signin.replay import FirstUse, Result, SendAlso, Spending, nothing

TIMEOUT = 1.0  # seconds, to connect and again to answer
# If Redis hangs, it may run a delete late. That must not remove a token that another request has spent meanwhile.
_DELETE_IF_MINE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisReplayCache:
    """Implements `sp.signin.replay.ReplayCache`. *clock* returns seconds since 1970; tokens expire by it."""

    store = "Redis"

    def __init__(self, url: str, *, clock: Callable[[], float] = time_now) -> None:
        redis = self._library = load_extra("redis", "redis", "SP_REPLAY_URL")
        # No retry: after a broken connection, we do not know whether the first try has spent the token.
        self._redis = redis.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=None)
        self._breaker = Breaker(time.monotonic)
        self._clock = clock

    def spend(
        self, database: Database, token: Spending, work: Callable[[Connection], Result], send_also: SendAlso = nothing
    ) -> Result:
        """Spend *token*, then begin the transaction. If that fails before the commit starts, make it unspent again.

        After a crash or a failed commit, which may have succeeded in the database, the token stays spent. On SQLite it
        also stays spent if another member of its group ended the transaction (a full disk) after *work* was done.
        """
        mine = self._spend(token)
        may_be_committed = False

        def work_and_note(connection: Connection) -> Result:
            nonlocal may_be_committed
            result = _finished(send_also, work, connection)
            may_be_committed = True
            return result

        try:
            return database.together(work_and_note)
        except OutcomeUnknown:
            raise  # another thread may be about to do the work
        except Exception:
            if not may_be_committed:
                self._unspend(token.key, mine)
            raise

    def first_use(self, database: Database, key: bytes) -> FirstUse | None:
        """Return what was stored when the token was spent, or None. Raises StoreUnavailable."""
        with self._asking():
            value: Any = self._redis.get(_name(key))
        if value is None:
            return None
        try:
            kept = json.loads(value)
            kept.pop("by", None)
            for name in ("session_hash", "pending_hash"):
                kept[name] = bytes.fromhex(kept[name]) if kept[name] else None
            return FirstUse(**kept)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreUnavailable("a key for a spent token has an unknown value in Redis") from error

    def check(self) -> str | None:
        """Return a warning if Redis has a wrong clock, otherwise None.

        Raises StoreUnavailable if Redis does not answer.
        """

        def ask() -> float:
            seconds, microseconds = self._redis.time()
            return float(seconds) + float(microseconds) / 1e6

        with self._asking():
            self._redis.ping()  # opens the connection, so that the time for it is not measured
            return complaint("Redis", seconds_ahead(ask, self._clock))

    def _spend(self, token: Spending) -> str:
        """Spend the token; return the stored value, which is unique to this request."""
        kept = {name: value.hex() if isinstance(value, bytes) else value for name, value in vars(token.use).items()}
        value = json.dumps({**kept, "by": os.urandom(8).hex()})
        lifetime = max(1, token.until - int(self._clock()))  # seconds
        with self._asking():
            stored = self._redis.set(_name(token.key), value, nx=True, ex=lifetime)
        if not stored:
            raise TokenReplayed("the token was used before")
        return value

    def _unspend(self, key: bytes, mine: str) -> None:
        with suppress(StoreUnavailable), self._asking():  # if that fails, the token stays spent, which is safe
            self._redis.eval(_DELETE_IF_MINE, 1, _name(key), mine)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            with counters.timing(STORING, REDIS), self._breaker.asking((self._library.TimeoutError,)):
                yield
        except StoreHangs as error:
            raise StoreUnavailable("Redis did not answer a moment ago, and will be tried again soon") from error
        except self._library.RedisError as error:
            raise StoreUnavailable(f"Redis did not answer: {type(error).__name__}") from error


def _finished(send_also: SendAlso, work: Callable[[Connection], Result], connection: Connection) -> Result:
    """Do *work* and wait until its statements are done: if one has failed, nothing will be committed."""
    send_also(connection)
    result = work(connection)
    catch_up(connection)
    return result


def _name(key: bytes) -> str:
    return f"lychgate:spent:{key.hex()}"
