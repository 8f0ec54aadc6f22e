"""One suite for every place where spent tokens are kept: SQLite, PostgreSQL and Redis, all of them real."""

import hashlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from sqlalchemy import Connection, Engine, select, text

from shared.errors import StoreUnavailable, TokenReplayed
from sp.models import SpentToken
from sp.replay import RedisReplayCache, ReplayCache, SqlReplayCache, Trace, clean_up, token_key
from tests.support.gateway import core_of, make_gateway
from tests.support.stores import PostgreSQL, Redis, Server

SOON = 3600  # seconds for which a token of these tests is remembered
TRACE = Trace(session_hash=b"s" * 32, pending_hash=b"p" * 32, return_path="/courses?a=ü")


class Ledger:
    """A replay cache with its database, as a worker has them."""

    def __init__(self, engine: Engine, cache: ReplayCache, server: Server | None = None) -> None:
        self.engine, self.cache, self.server = engine, cache, server

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self.engine.execution_options(write=True).begin() as connection:
            yield connection

    def spend(self, key: bytes, trace: Trace = TRACE, seconds: int = SOON) -> None:
        with self.transaction() as connection:
            self.cache.spend(connection, key, int(time.time()) + seconds, trace)

    def trace(self, key: bytes) -> Trace | None:
        with self.engine.connect() as connection:
            return self.cache.trace(connection, key)


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """A ledger on each kind of store."""
    server: Server | None = None
    environ: dict[str, str] = {}
    if request.param == "postgresql":
        postgresql: PostgreSQL = request.getfixturevalue("postgresql")
        server, environ = postgresql, {"SP_DATABASE_URL": postgresql.create_database()}
    elif request.param == "redis":
        redis_server: Redis = request.getfixturevalue("redis_server")
        server, environ = redis_server, {"SP_REPLAY_URL": redis_server.url}
    core = core_of(make_gateway(tmp_path, None, **environ))
    assert isinstance(core.replay, RedisReplayCache if request.param == "redis" else SqlReplayCache)
    yield Ledger(core.engine, core.replay, server)
    core.engine.dispose()


def new_key() -> bytes:
    return hashlib.sha256(str(time.perf_counter_ns()).encode()).digest()[:16]


# --- For every store ---


def test_a_token_is_spent_once(ledger: Ledger) -> None:
    key = new_key()
    ledger.spend(key)
    for _ in range(3):
        with pytest.raises(TokenReplayed):
            ledger.spend(key, Trace())


def test_of_copies_that_race_exactly_one_wins(ledger: Ledger) -> None:
    keys = [new_key() for _ in range(12)]
    won: list[bytes] = []
    lost: list[bytes] = []
    errors: list[BaseException] = []
    start = threading.Barrier(8)

    def race() -> None:
        for key in keys:
            start.wait(timeout=30)
            try:
                ledger.spend(key)
                won.append(key)
            except TokenReplayed:
                lost.append(key)
            except BaseException as error:
                errors.append(error)

    run_at_once([race] * 8)
    assert errors == []
    assert sorted(won) == sorted(keys)
    assert len(lost) == 7 * len(keys)


def test_what_a_token_left_is_found_by_its_key_alone(ledger: Ledger) -> None:
    key = new_key()
    assert ledger.trace(key) is None
    ledger.spend(key)
    assert ledger.trace(key) == TRACE
    assert ledger.trace(new_key()) is None
    bare = new_key()
    ledger.spend(bare, Trace())
    assert ledger.trace(bare) == Trace(None, None, None)


def test_a_second_use_does_not_change_what_the_first_left(ledger: Ledger) -> None:
    key = new_key()
    ledger.spend(key)
    with pytest.raises(TokenReplayed):
        ledger.spend(key, Trace(b"x" * 32, b"y" * 32, "/evil"))
    assert ledger.trace(key) == TRACE


def test_a_token_whose_sign_in_failed_can_be_spent_again(ledger: Ledger) -> None:
    key = new_key()

    def fail_in_the_middle() -> None:
        with ledger.transaction() as connection:
            ledger.cache.spend(connection, key, int(time.time()) + SOON, TRACE)
            ledger.cache.unspend(key)  # as sp.signin does, before it lets the error through
            raise LookupError

    with pytest.raises(LookupError):
        fail_in_the_middle()
    assert ledger.trace(key) is None
    ledger.spend(key)
    assert ledger.trace(key) == TRACE


def test_a_token_that_is_being_spent_elsewhere_is_waited_for_and_then_refused(ledger: Ledger) -> None:
    key, outcome = new_key(), list[str]()

    def second() -> None:
        try:
            ledger.spend(key)
            outcome.append("spent twice")
        except TokenReplayed:
            outcome.append("replayed")

    thread = threading.Thread(target=second)
    with ledger.transaction() as connection:
        ledger.cache.spend(connection, key, int(time.time()) + SOON, TRACE)
        thread.start()
        time.sleep(0.1)
    thread.join(30)
    assert outcome == ["replayed"]


@pytest.mark.parametrize("ledger", ["postgresql", "redis"], indirect=True)
def test_a_spent_token_stays_spent_when_the_store_is_killed_and_started_again(ledger: Ledger) -> None:
    assert ledger.server is not None
    keys = [new_key() for _ in range(20)]
    for key in keys:
        ledger.spend(key)
    ledger.server.kill()
    try:
        with pytest.raises(Exception):  # noqa: B017, PT011  # the kind is the next test's affair
            ledger.spend(new_key())
    finally:
        ledger.server.start()
    ledger.engine.dispose()
    for key in keys:
        with pytest.raises(TokenReplayed):
            ledger.spend(key)
    ledger.spend(new_key())


# --- Keys ---


def test_the_key_is_provider_and_jti_and_nothing_else() -> None:
    names = ["a", "A", "a ", " a", "a\0", "á", "a\u0301", "", "1", "01", "\ud800", "a" * 512]
    keys = {token_key(provider, jti) for provider in ("p", "q") for jti in names}
    assert len(keys) == 2 * len(names)
    assert {len(key) for key in keys} == {16}
    assert token_key("p", "a") == token_key("p", "a")
    assert token_key("p-a", "b") != token_key("p", "a-b")
    assert token_key("p", "12") != token_key("p1", "2")


# --- SQL: rows that have run out ---


@pytest.mark.parametrize("ledger", ["sqlite", "postgresql"], indirect=True)
def test_rows_live_exactly_until_their_second_and_go_a_hundred_at_a_time(ledger: Ledger) -> None:
    now = int(time.time())
    with ledger.transaction() as connection:
        for number in range(105):
            ledger.cache.spend(connection, number.to_bytes(16), now - 1, Trace())
        for number, until in enumerate((now, now + 1), start=1000):
            ledger.cache.spend(connection, number.to_bytes(16), until, Trace())
    with ledger.transaction() as connection:
        assert [clean_up(now, connection, 100) for _ in range(3)] == [100, 5, 0]
        left = connection.execute(select(SpentToken.expires_at).order_by(SpentToken.expires_at)).scalars().all()
    assert list(left) == [now, now + 1]


@pytest.mark.parametrize("ledger", ["sqlite"], indirect=True)
def test_sqlite_keeps_the_last_commits_through_a_power_cut(ledger: Ledger) -> None:
    with ledger.engine.connect() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"


# --- Redis ---


def test_redis_forgets_a_token_in_the_second_that_it_is_given(redis_server: Redis) -> None:
    cache = RedisReplayCache(redis_server.url)
    key, until = new_key(), int(time.time()) + SOON
    cache.spend(no_connection(), key, until, TRACE)
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.execute_command("EXPIRETIME", f"lychgate:spent:{key.hex()}") == until


def test_a_redis_that_is_down_refuses_soon_and_never_lets_in(redis_server: Redis) -> None:
    cache = RedisReplayCache("redis://127.0.0.1:1/0")
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match="Redis did not answer"):
        cache.spend(no_connection(), new_key(), 1, TRACE)
    with pytest.raises(StoreUnavailable, match="Redis did not answer"):
        cache.trace(no_connection(), new_key())
    with pytest.raises(StoreUnavailable, match="Redis did not answer"):
        cache.ping()
    cache.unspend(new_key())  # says nothing: the token stays as it was
    assert time.monotonic() - started < 10
    RedisReplayCache(redis_server.url).ping()


def test_a_redis_that_does_not_answer_in_time_is_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cache = RedisReplayCache(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        with pytest.raises(StoreUnavailable):
            cache.spend(no_connection(), new_key(), 1, TRACE)


def test_a_connection_that_breaks_after_the_order_leaves_a_doubt_and_a_doubt_refuses(redis_server: Redis) -> None:
    """The token may be spent or not. Asking again would say "used before" to its rightful owner, so nobody asks."""
    key = new_key()
    with breaking_after(b"SET", redis_server.port) as (port, orders):
        cache = RedisReplayCache(f"redis://127.0.0.1:{port}/0")
        with pytest.raises(StoreUnavailable):
            cache.spend(no_connection(), key, int(time.time()) + SOON, TRACE)
    assert len(orders) == 1
    with pytest.raises(TokenReplayed):
        RedisReplayCache(redis_server.url).spend(no_connection(), key, int(time.time()) + SOON, TRACE)


FOREIGN = (b"", b"x", b"[]", b"{}", b'{"session_hash": 1}', b'{"session_hash": "zz", "pending_hash": null}')


@pytest.mark.parametrize("value", FOREIGN)
def test_a_foreign_value_in_the_place_of_a_token_is_a_store_that_cannot_be_asked(
    redis_server: Redis, value: bytes
) -> None:
    key = new_key()
    with redis.Redis.from_url(redis_server.url) as client:
        client.set(f"lychgate:spent:{key.hex()}", value)
    cache = RedisReplayCache(redis_server.url)
    with pytest.raises(StoreUnavailable):
        cache.trace(no_connection(), key)
    with pytest.raises(TokenReplayed):
        cache.spend(no_connection(), key, int(time.time()) + SOON, TRACE)


def test_a_redis_that_may_not_write_refuses(redis_server: Redis) -> None:
    """Full (noeviction), a replica, or without its disk: it answers, but remembers nothing."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.config_set("maxmemory", "1")
        try:
            with pytest.raises(StoreUnavailable):
                RedisReplayCache(redis_server.url).spend(no_connection(), new_key(), int(time.time()) + SOON, TRACE)
        finally:
            client.config_set("maxmemory", "0")


def no_connection() -> Connection:
    """Redis needs none of the database."""
    return None  # type: ignore[return-value]


def run_at_once(calls: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


@contextmanager
def breaking_after(word: bytes, port: int) -> Iterator[tuple[int, list[bytes]]]:
    """Stand before the server on *port*; pass an order with *word* on, and break the connection before the answer."""
    orders: list[bytes] = []

    def serve(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            while order := client.recv(65536):
                server.sendall(order)
                answer = server.recv(65536)
                if b"\r\n" + word + b"\r\n" in order:
                    orders.append(order)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
                    return
                client.sendall(answer)

    def accept() -> None:
        while True:
            try:
                client, _address = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1], orders
        listener.shutdown(socket.SHUT_RDWR)
