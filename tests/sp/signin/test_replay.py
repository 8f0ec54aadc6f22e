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
from sqlalchemy import Connection, create_engine, event, select, text

from shared import schema
from shared.errors import StoreUnavailable, TokenReplayed
from sp.database import shared_commits
from sp.database.access import Database
from sp.database.models import SpentToken
from sp.database.shared_commits import OutcomeUnknown
from sp.signin.redis_replay import RedisReplayCache
from sp.signin.replay import FirstUse, ReplayCache, Spending, SqlReplayCache, clean_up
from sp.signin.verification import token_key
from tests.support.gateway import core_of, make_gateway, migrated_postgresql
from tests.support.stores import PostgreSQL, Redis, Server

SOON = 3600  # seconds for which a token of these tests is remembered
FIRST_USE = FirstUse(session_hash=b"s" * 32, pending_hash=b"p" * 32, return_path="/courses?a=ü")


class Ledger:
    """A replay cache with its database, as a worker has them."""

    def __init__(self, database: Database, cache: ReplayCache, server: Server | None = None) -> None:
        self.database, self.cache, self.server = database, cache, server

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self.database.writing() as connection:
            yield connection

    def spend(
        self,
        key: bytes,
        use: FirstUse = FIRST_USE,
        until: int | None = None,
        work: Callable[[Connection], object] = lambda _connection: None,
    ) -> None:
        self.cache.spend(self.database, Spending(key, until or int(time.time()) + SOON, use), work)

    def first_use(self, key: bytes) -> FirstUse | None:
        return self.cache.first_use(self.database, key)


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """A ledger on each kind of store."""
    server: Server | None = None
    environ: dict[str, str] = {}
    if request.param == "postgresql":
        postgresql: PostgreSQL = request.getfixturevalue("postgresql")
        server, environ = postgresql, {"SP_DATABASE_URL": migrated_postgresql(postgresql)}
    elif request.param == "redis":
        redis_server: Redis = request.getfixturevalue("redis_server")
        server, environ = redis_server, {"SP_REPLAY_URL": redis_server.url}
    core = core_of(make_gateway(tmp_path, None, **environ))
    assert isinstance(core.replay, RedisReplayCache if request.param == "redis" else SqlReplayCache)
    yield Ledger(core.database, core.replay, server)
    core.database.engine.dispose()


def fail(_connection: Connection) -> None:
    raise LookupError


def new_key() -> bytes:
    return hashlib.sha256(str(time.perf_counter_ns()).encode()).digest()[:16]


# --- For every store ---


def test_a_token_is_spent_once(ledger: Ledger) -> None:
    key = new_key()
    ledger.spend(key)
    for _ in range(3):
        with pytest.raises(TokenReplayed):
            ledger.spend(key, FirstUse())


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
    assert ledger.first_use(key) is None
    ledger.spend(key)
    assert ledger.first_use(key) == FIRST_USE
    assert ledger.first_use(new_key()) is None
    bare = new_key()
    ledger.spend(bare, FirstUse())
    assert ledger.first_use(bare) == FirstUse(None, None, None)


def test_a_second_use_does_not_change_what_the_first_left(ledger: Ledger) -> None:
    key = new_key()
    ledger.spend(key)
    with pytest.raises(TokenReplayed):
        ledger.spend(key, FirstUse(b"x" * 32, b"y" * 32, "/evil"))
    assert ledger.first_use(key) == FIRST_USE


def test_a_token_whose_sign_in_failed_can_be_spent_again(ledger: Ledger) -> None:
    key = new_key()

    with pytest.raises(LookupError):
        ledger.spend(key, work=fail)
    assert ledger.first_use(key) is None
    ledger.spend(key)
    assert ledger.first_use(key) == FIRST_USE


def test_a_token_that_is_being_spent_elsewhere_is_waited_for_and_then_refused(ledger: Ledger) -> None:
    key, outcome = new_key(), list[str]()

    def second() -> None:
        try:
            ledger.spend(key)
            outcome.append("spent twice")
        except TokenReplayed:
            outcome.append("replayed")

    thread = threading.Thread(target=second)

    def meet_the_second(_connection: Connection) -> None:
        thread.start()
        time.sleep(0.1)

    ledger.spend(key, work=meet_the_second)
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
    ledger.database.engine.dispose()
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
    for number in range(105):
        ledger.spend(number.to_bytes(16), FirstUse(), now - 1)
    for number, until in enumerate((now, now + 1), start=1000):
        ledger.spend(number.to_bytes(16), FirstUse(), until)
    with ledger.transaction() as connection:
        assert [clean_up(now, connection, 100) for _ in range(3)] == [100, 5, 0]
        left = connection.execute(select(SpentToken.expires_at).order_by(SpentToken.expires_at)).scalars().all()
    assert list(left) == [now, now + 1]


@pytest.mark.parametrize("ledger", ["sqlite"], indirect=True)
def test_sqlite_keeps_the_last_commits_through_a_power_cut(ledger: Ledger) -> None:
    with ledger.database.engine.connect() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"


# --- Redis ---


@pytest.fixture
def in_redis(redis_server: Redis, tmp_path: Path) -> Iterator[Callable[..., Ledger]]:
    """Return a function that makes a ledger in Redis, with a clock or at a URL that the test chooses."""
    engine = schema.prepare_engine(create_engine(f"sqlite:///{tmp_path / 'empty.sqlite3'}"))

    def make(url: str = redis_server.url, clock: Callable[[], float] = time.time) -> Ledger:
        return Ledger(Database(engine), RedisReplayCache(url, clock=clock), redis_server)

    yield make
    engine.dispose()


def expiry(server: Redis, key: bytes) -> int:
    """Return when Redis forgets *key*: seconds since 1970, by its own clock; -2 if it does not have it."""
    with redis.Redis.from_url(server.url) as client:
        return int(str(client.execute_command("EXPIRETIME", f"lychgate:spent:{key.hex()}")))


def test_redis_forgets_a_token_in_the_second_that_it_is_given(
    redis_server: Redis, in_redis: Callable[..., Ledger]
) -> None:
    key, until = new_key(), int(time.time()) + SOON
    in_redis().spend(key, FIRST_USE, until)
    assert 0 <= expiry(redis_server, key) - until <= 1  # a second may begin in between


@pytest.mark.parametrize("minutes", [-20, -6, 6, 20])
def test_attack_a_token_is_spent_once_however_far_redis_clock_is_from_ours(
    minutes: int, redis_server: Redis, in_redis: Callable[..., Ledger]
) -> None:
    """`SET NX EXAT` with a moment that has passed by Redis' clock answers OK and stores no entry."""
    ledger = in_redis(clock=lambda: time.time() - minutes * 60)  # so Redis' clock is ahead by that
    key, until = new_key(), int(time.time()) - minutes * 60 + 60
    ledger.spend(key, FIRST_USE, until)
    assert 58 <= expiry(redis_server, key) - time.time() <= 61
    with pytest.raises(TokenReplayed):
        ledger.spend(key, FIRST_USE, until)


def test_a_token_that_runs_out_in_this_second_is_remembered_for_one_more(
    redis_server: Redis, in_redis: Callable[..., Ledger]
) -> None:
    now = int(time.time())
    ledger = in_redis(clock=lambda: now)
    for until in (now, now - 1):
        key = new_key()
        ledger.spend(key, FIRST_USE, until)
        assert expiry(redis_server, key) >= now


def test_a_failure_of_one_request_never_forgets_what_another_has_spent_since(
    redis_server: Redis, in_redis: Callable[..., Ledger]
) -> None:
    """Its DELETE may wait in the queue of a Redis that hangs, and arrive after another request's SET."""
    ledger, key = in_redis(), new_key()
    other = Ledger(Database(create_engine("sqlite://")), RedisReplayCache(redis_server.url))

    def fail_late(_connection: Connection) -> None:
        with redis.Redis.from_url(redis_server.url) as client:
            client.delete(f"lychgate:spent:{key.hex()}")
        other.spend(key, FirstUse())
        raise LookupError

    with pytest.raises(LookupError):
        ledger.spend(key, FirstUse(), work=fail_late)
    with pytest.raises(TokenReplayed):
        ledger.spend(key)


def test_a_commit_whose_outcome_is_unknown_leaves_the_token_spent(in_redis: Callable[..., Ledger]) -> None:
    ledger, key = in_redis(), new_key()

    def break_off(_connection: Connection) -> None:
        raise OSError("the connection broke")

    event.listen(ledger.database.engine, "commit", break_off)
    with pytest.raises(OSError, match="broke"):
        ledger.spend(key)
    event.remove(ledger.database.engine, "commit", break_off)
    with pytest.raises(TokenReplayed):
        ledger.spend(key)


def test_who_gives_up_waiting_for_a_shared_commit_leaves_the_token_spent(
    in_redis: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread is doing its work, and may commit it afterwards."""
    monkeypatch.setattr(shared_commits, "TURN", 0.05)
    monkeypatch.setattr(shared_commits, "ANSWER", 0.1)
    ledger, key, given_up = in_redis(), new_key(), threading.Event()
    queue = ledger.database._shared._waiting  # type: ignore[union-attr]

    def give_up() -> None:
        with pytest.raises(OutcomeUnknown):
            ledger.spend(key, work=lambda _connection: given_up.wait(30))
        given_up.set()

    thread = threading.Thread(target=give_up)

    def meet(_connection: Connection) -> None:
        thread.start()
        deadline = time.monotonic() + 30
        while not queue:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    ledger.spend(new_key(), work=meet)
    thread.join(30)
    assert given_up.is_set()
    with pytest.raises(TokenReplayed):
        ledger.spend(key)


def test_redis_is_asked_before_the_transaction_begins_and_after_it_has_ended(in_redis: Callable[..., Ledger]) -> None:
    ledger, key = in_redis(), new_key()
    order: list[str] = []
    commands = ledger.cache._redis.execute_command  # type: ignore[attr-defined]

    def note(*arguments: object, **options: object) -> object:
        order.append(str(arguments[0]))
        return commands(*arguments, **options)

    ledger.cache._redis.execute_command = note  # type: ignore[attr-defined]
    for name in ("begin", "commit", "rollback"):
        event.listen(ledger.database.engine, name, lambda _connection, name=name: order.append(name))
    ledger.spend(key)
    with pytest.raises(LookupError):
        ledger.spend(new_key(), work=fail)
    assert order == ["SET", "begin", "commit", "SET", "begin", "rollback", "EVAL"]


def test_a_redis_that_is_down_refuses_soon_and_never_lets_in(
    redis_server: Redis, in_redis: Callable[..., Ledger]
) -> None:
    ledger = in_redis("redis://127.0.0.1:1/0")
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match="Redis did not answer"):
        ledger.spend(new_key())
    with pytest.raises(StoreUnavailable, match="Redis did not answer"):
        ledger.first_use(new_key())
    with pytest.raises(StoreUnavailable, match="Redis did not answer"):
        RedisReplayCache("redis://127.0.0.1:1/0").check()
    assert time.monotonic() - started < 5
    RedisReplayCache(redis_server.url).check()


def test_a_redis_that_does_not_answer_in_time_is_down_and_the_next_do_not_wait_for_it(
    in_redis: Callable[..., Ledger],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ledger = in_redis(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        with pytest.raises(StoreUnavailable, match="TimeoutError"):
            ledger.spend(new_key())
        started = time.monotonic()
        for _ in range(20):
            with pytest.raises(StoreUnavailable, match="a moment ago"):
                ledger.spend(new_key())
        assert time.monotonic() - started < 5  # each would wait for a second


def test_a_connection_that_breaks_after_the_order_leaves_a_doubt_and_a_doubt_refuses(
    redis_server: Redis, in_redis: Callable[..., Ledger]
) -> None:
    """The token may be spent or not. A second try would say "used before" to its rightful owner, so there is none."""
    key = new_key()
    with breaking_after(b"SET", redis_server.port) as (port, orders), pytest.raises(StoreUnavailable):
        in_redis(f"redis://127.0.0.1:{port}/0").spend(key)
    assert len(orders) == 1
    with pytest.raises(TokenReplayed):
        in_redis().spend(key)


FOREIGN = (b"", b"x", b"1", b"[]", b"{}", b'{"session_hash": 1}', b'{"session_hash": "zz", "pending_hash": null}')


@pytest.mark.parametrize("value", FOREIGN)
def test_a_foreign_value_in_the_place_of_a_token_is_a_store_that_cannot_be_asked(
    redis_server: Redis, in_redis: Callable[..., Ledger], value: bytes
) -> None:
    key = new_key()
    with redis.Redis.from_url(redis_server.url) as client:
        client.set(f"lychgate:spent:{key.hex()}", value)
    with pytest.raises(StoreUnavailable):
        in_redis().first_use(key)
    with pytest.raises(TokenReplayed):
        in_redis().spend(key)


def test_a_redis_that_may_not_write_refuses(redis_server: Redis, in_redis: Callable[..., Ledger]) -> None:
    """Full (noeviction), a replica, or without its disk: it answers, but stores no entry."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.config_set("maxmemory", "1")
        try:
            with pytest.raises(StoreUnavailable):
                in_redis().spend(new_key())
        finally:
            client.config_set("maxmemory", "0")


def run_at_once(calls: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


@contextmanager
def breaking_after(word: bytes, port: int) -> Iterator[tuple[int, list[bytes]]]:
    """Proxy the server on *port*; forward a command with *word*, and close the connection before the answer."""
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
