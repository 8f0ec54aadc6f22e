"""Limit every wait for PostgreSQL, so that a server that hangs does not block a thread for ever.

The server's own limits end slow statements and waits for locks. These limits do not help if the server itself stops (a
frozen machine, a full disk, SIGSTOP). The kernel of the server's machine may still acknowledge our data, so TCP does
not notice the stop either. So this module limits each wait for the server, except during migrations, and closes the
connection when the limit is reached. While the server does not answer, the breaker rejects further requests at once.
docs/deploying.md lists the limits.
"""

from __future__ import annotations

import queue
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

import psycopg
from sqlalchemy import URL, Connection, Engine, event, exc
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool

from shared.breaker import PLACES, Breaker, StoreHangs

CONNECT_SECONDS = 2.5  # in total: name resolution, all hosts of the URL, encryption, authentication
POOL_SECONDS = 2.0  # to wait for a connection that other threads use
POOL_LOOK = 0.05  # seconds between two checks of the breaker while waiting for a connection
NETWORK = {
    "connect_timeout": 2,  # seconds for one host; psycopg's minimum
    "tcp_user_timeout": 5_000,  # ms that sent data may stay unacknowledged
    "keepalives_idle": 30,  # seconds; three lost probes, 5 seconds apart, end an idle connection
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
_SET_LIMITS = (
    "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false),"
    " set_config('idle_in_transaction_session_timeout', %s, false), pg_backend_pid()"
)


@dataclass(frozen=True)
class Limits:
    """How long a connection waits for an answer, and how long the server works on a statement. 0 means no limit."""

    answer: float  # seconds for one exchange with the server
    statement: int  # ms
    lock: int  # ms
    idle_in_transaction: int  # ms


# The server's own limits are shorter than ours. So the server ends a slow statement first, and the connection stays
# open. If a process freezes in a transaction, the server releases the process's locks after half a minute.
SERVING = Limits(answer=2.5, statement=2_000, lock=1_500, idle_in_transaction=30_000)
STARTING = Limits(answer=65.0, statement=60_000, lock=60_000, idle_in_transaction=0)  # nodes wait for one another
MIGRATING = Limits(answer=0, statement=0, lock=0, idle_in_transaction=0)


class Pool(QueuePool):
    """A pool of at most PLACES connections. While the server hangs, it raises at once instead of waiting."""

    breaker: Breaker
    limits = SERVING
    _is_disposed = False

    def connect(self) -> PoolProxiedConnection:
        """Return a connection. Raises OperationalError if none is free in time."""
        try:
            self.breaker.admit()
            ends_at = time.monotonic() + POOL_SECONDS
            while True:
                try:
                    return super().connect()
                except exc.TimeoutError:
                    if time.monotonic() > ends_at:
                        raise _unanswered("all connections are in use") from None
                self.breaker.check()
        except StoreHangs:
            raise _unanswered("PostgreSQL hangs") from None

    def recreate(self) -> Pool:
        """Return a pool like this one, with the same breaker and limits."""
        fresh = cast(Pool, super().recreate())
        fresh.breaker, fresh.limits = self.breaker, self.limits
        return fresh

    def dispose(self) -> None:
        """Close all connections. A connection in use is closed when it comes back.

        After this call, no caller uses this pool.
        """
        self._is_disposed = True
        super().dispose()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        if self._is_disposed:
            record.close()
        else:
            super()._do_return_conn(record)


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that waits for an answer until its limit, and then closes."""

    breaker: Breaker
    limits = SERVING
    _pipe: psycopg.Pipeline | None = None  # set while `pipelined` runs
    _only_sends = False  # true while statements are only sent: such a wait can end although the server hangs

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Do one exchange with the server."""
        if self.limits is not SERVING or self.closed:
            return super().wait(gen, interval, self.limits.answer or None)
        ticket = self.breaker.asked()
        try:
            answer = super().wait(gen, interval, SERVING.answer)
        except psycopg.errors._WaitTimeout:
            self.breaker.gave_up(ticket)
            self.pgconn.finish()
            raise psycopg.OperationalError(f"PostgreSQL did not answer within {SERVING.answer} seconds") from None
        except BaseException:
            self.breaker.answered(ticket)
            raise
        (self.breaker.withdrew if self._only_sends else self.breaker.answered)(ticket)
        return answer

    @contextmanager
    def pipelined(self) -> Iterator[None]:
        """Run the block as a transaction whose statements are sent without waiting for one another.

        Call `catch_up` before you look at an answer. The COMMIT is sent together with the last statements. If a
        statement fails, the transaction ends. The error is raised at the next wait for an answer, at the latest at the
        end of the block. Raises psycopg.Error if the COMMIT failed or was not confirmed.
        """
        raised: BaseException | None = None
        self._only_sends = True
        try:
            with self.pipeline() as self._pipe:
                try:
                    self._send(self._pipe, b"BEGIN")
                    yield
                    self._check_not_failed()
                    self._send(self._pipe, b"COMMIT")
                except BaseException as error:
                    raised = error  # caught here, because psycopg would log what fails after it
                    with suppress(psycopg.Error):
                        self._send(self._pipe, b"ROLLBACK")
                self._only_sends = False  # the end of the pipeline waits
        except psycopg.Error:
            if raised is None:
                raise
        finally:
            self._pipe, self._only_sends = None, False
        if raised is not None:
            raise raised

    def catch_up(self) -> None:
        """While `pipelined` runs, wait for all answers. Raises psycopg.Error if an answer is an error.

        Fetching a row would also wait for the row's answer, but it would not end the exchange with the server. The
        server applies its limit for idle transactions only after the end of the exchange. So if this process froze
        before the end, the server would keep the locks for ever.
        """
        if self._pipe is not None:
            self._only_sends = False
            try:
                self._pipe.sync()
            finally:
                self._only_sends = True

    def _send(self, pipe: psycopg.Pipeline, command: bytes) -> None:
        """Send *command* without waiting. psycopg itself would wait for the answer, even before its own BEGIN.

        After the BEGIN that we send, psycopg does not send another one.
        """
        self.pgconn.send_query_params(command, None)
        pipe.result_queue.append(None)

    def _check_not_failed(self) -> None:
        """Raise an error if a statement failed and its error was not noticed, because COMMIT would not raise one."""
        if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.INERROR:
            raise psycopg.OperationalError("a statement of the transaction has failed")

    def take(self, limits: Limits) -> None:
        """Set *limits* here, and by a query at the server, because PgBouncer rejects start-up options.

        A pooler such as PgBouncer may run each transaction in another server process, which does not have the
        statements that an earlier server process prepared. So behind a pooler, this connection prepares no statements.
        """
        self.limits = limits
        values = (limits.statement, limits.lock, limits.idle_in_transaction)
        self.autocommit = True
        found = self.execute(_SET_LIMITS, [str(value) for value in values]).fetchone()
        self.autocommit = False
        if found is None or found[-1] != self.info.backend_pid:  # a pooler sends an invented process ID
            self.prepare_threshold = None


def options(url: URL) -> dict[str, Any]:
    """Return the engine options for *url*. Network options in the URL itself take precedence."""
    return {
        "poolclass": Pool,
        "pool_size": PLACES,
        "max_overflow": 0,
        "pool_timeout": POOL_LOOK,
        "pool_use_lifo": True,
        "connect_args": {name: value for name, value in NETWORK.items() if name not in url.query},
    }


def prepare(engine: Engine) -> None:
    """Limit every wait of *engine*, which was created with `options`."""
    breaker = _pool(engine).breaker = Breaker(time.monotonic)

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> BoundedConnection:
        ticket = breaker.asked()
        try:
            connection = _connect_in_time(parameters)
        except psycopg.errors.ConnectionTimeout:
            breaker.gave_up(ticket)
            raise
        except BaseException:
            breaker.answered(ticket)
            raise
        breaker.answered(ticket)
        connection.breaker = breaker
        return connection

    @event.listens_for(engine, "connect")
    def limit(connection: BoundedConnection, _record: Any) -> None:
        connection.take(_pool(engine).limits)

    @event.listens_for(engine, "after_cursor_execute")
    def catch_up(connection: Connection, *_details: Any) -> None:
        """Wait for all answers, because SQLAlchemy reads the answer to a statement at once."""
        cast(BoundedConnection, connection.connection.dbapi_connection).catch_up()

    @event.listens_for(engine, "checkout")
    def leave_stale(connection: BoundedConnection, _record: Any, _proxy: Any) -> None:
        """Replace a connection that the server has closed. Such a connection has unread data."""
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        if poll.poll(0):
            raise exc.DisconnectionError("the server has closed the connection")


@contextmanager
def patient(engine: Engine, *, migrating: bool = False) -> Iterator[None]:
    """Let the connections of *engine* wait longer during the start or, with *migrating*, without a limit."""
    _pool(engine).limits = MIGRATING if migrating else STARTING
    engine.dispose()
    try:
        yield
    finally:
        _pool(engine).limits = SERVING
        engine.dispose()


def _pool(engine: Engine) -> Pool:
    return cast(Pool, engine.pool)


def _connect_in_time(parameters: dict[str, Any]) -> BoundedConnection:
    """Connect in a separate thread, because a resolver that hangs cannot be interrupted. Raises ConnectionTimeout."""
    result: queue.SimpleQueue[BoundedConnection | BaseException] = queue.SimpleQueue()
    given_up = threading.Event()

    def connect() -> None:
        try:
            connection = BoundedConnection.connect(**parameters)
        except BaseException as error:
            result.put(error)
            return
        result.put(connection)
        if given_up.is_set():
            connection.close()

    threading.Thread(target=connect, name="connecting to PostgreSQL", daemon=True).start()
    try:
        found = result.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        given_up.set()
        with suppress(queue.Empty):  # the connection may have come at this moment
            late = result.get_nowait()
            if isinstance(late, BoundedConnection):
                late.close()
        raise psycopg.errors.ConnectionTimeout(f"no connection within {CONNECT_SECONDS} seconds") from None
    if isinstance(found, BaseException):
        raise found
    return found


def _unanswered(why: str) -> exc.OperationalError:
    return exc.OperationalError(None, None, psycopg.OperationalError(why))
