"""On PostgreSQL, work that is done together sends its statements without waiting, and fails as strictly as before."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection as Connected
from psycopg import OperationalError
from psycopg.pq import PipelineStatus, TransactionStatus
from sqlalchemy import Connection, bindparam, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from shared.breaker import StoreHangs
from shared.errors import StoreUnavailable
from shared.postgresql import BoundedConnection
from sp.database.access import Database
from sp.database.models import SpentToken
from sp.database.prepared import Prepared
from tests.support.gateway import core_of, make_gateway, migrated_postgresql
from tests.support.stores import PostgreSQL

TABLE: Any = SpentToken.__table__
SPEND: Prepared[Any] = Prepared(insert(TABLE).inline())
FIND: Prepared[Any] = Prepared(select(TABLE.c.key).where(TABLE.c.key == bindparam("wanted")))
ONE = {"key": b"1" * 16, "expires_at": 1}
OTHER = {"key": b"2" * 16, "expires_at": 2}
STATE = "SELECT state FROM pg_stat_activity WHERE pid = :pid"
AT_ONCE = 0.5  # seconds


@pytest.fixture
def database(postgresql: PostgreSQL, tmp_path: Path) -> Iterator[Database]:
    database = core_of(make_gateway(tmp_path, SP_DATABASE_URL=migrated_postgresql(postgresql))).database
    yield database
    database.engine.dispose()


def count(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(TABLE)).scalar_one())


def driver_of(connection: Connection) -> Any:
    return connection.connection.dbapi_connection


def test_answers_are_there_when_they_are_looked_at(database: Database) -> None:
    def work(connection: Connection) -> tuple[Any, Any, int]:
        SPEND.run(connection, ONE)
        found, missing = FIND.send(connection, {"wanted": ONE["key"]}), FIND.send(connection, {"wanted": OTHER["key"]})
        by_core = connection.execute(update(TABLE).values(expires_at=3)).rowcount
        return found.first(), missing.first(), by_core

    assert database.together(work) == ((ONE["key"],), None, 1)
    assert count(database) == 1


def test_a_statement_whose_answer_nobody_looked_at_fails_the_whole(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def work(connection: Connection) -> None:
        for row in (OTHER, ONE, ONE):
            SPEND.run(connection, row)

    with pytest.raises(IntegrityError):
        database.together(work)
    assert count(database) == 0
    assert caplog.records == []


def test_attack_a_failure_that_was_swallowed_is_not_taken_for_a_commit(database: Database) -> None:
    """PostgreSQL answers COMMIT with ROLLBACK then, which is not an error."""

    def work(connection: Connection) -> str:
        SPEND.run(connection, ONE)
        SPEND.run(connection, ONE)
        with pytest.raises(DBAPIError):
            FIND.first(connection, {"wanted": ONE["key"]})
        return "done"

    with pytest.raises(StoreUnavailable):
        database.together(work)
    assert count(database) == 0


@pytest.mark.parametrize("end", ["committed", "raised", "failed"])
def test_the_next_transaction_of_the_connection_is_an_ordinary_one(database: Database, end: str) -> None:
    drivers: list[Any] = []

    def work(connection: Connection) -> None:
        drivers.append(driver_of(connection))
        SPEND.run(connection, ONE)
        if end == "failed":
            SPEND.run(connection, ONE)
        if end == "raised":
            raise KeyError

    try:
        database.together(work)
    except (KeyError, IntegrityError):
        assert end != "committed"
    with database.reading() as connection:
        assert driver_of(connection) is drivers[0]
        connection.execute(insert(TABLE).values(**OTHER))  # reading does not commit
    assert count(database) == (end == "committed")


def test_between_two_exchanges_the_server_knows_that_it_waits_for_us(database: Database) -> None:
    """Its limit for that ends the transaction of a process that hangs, and so its locks."""

    def work(connection: Connection) -> str:
        FIND.first(connection, {"wanted": ONE["key"]})
        with database.engine.connect() as other:
            return str(other.execute(text(STATE), {"pid": driver_of(connection).info.backend_pid}).scalar())

    assert database.together(work) == "idle in transaction"


def test_a_connection_that_is_lost_before_the_commit_denies_access_and_is_not_used_again(database: Database) -> None:
    lost: list[Any] = []

    def work(connection: Connection) -> None:
        FIND.first(connection, {"wanted": ONE["key"]})
        lost.append(driver_of(connection))
        with database.engine.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": lost[0].info.backend_pid})
        SPEND.run(connection, ONE)

    with pytest.raises(StoreUnavailable):
        database.together(work)
    assert lost[0].closed
    database.together(lambda connection: SPEND.run(connection, OTHER))
    assert count(database) == 1


@pytest.mark.parametrize("number", range(4))
def test_attack_a_thread_that_is_ended_while_it_waits_leaves_no_pipeline_in_the_pool(
    database: Database, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Its worker's time-out may end it by an exception, at any wait: the next request would use what it has left."""
    count(database)  # so that a connection is open
    waits: list[Any] = []

    def wait(self: BoundedConnection, gen: Any, *limits: Any) -> Any:
        waits.append(gen)
        if len(waits) == number + 1:
            next(gen, None)
            gen.close()
            raise SystemExit
        return Connected.wait(self, gen, *limits)

    with monkeypatch.context() as patched, suppress(SystemExit, StoreUnavailable):
        patched.setattr(BoundedConnection, "wait", wait)
        database.together(lambda connection: FIND.first(connection, {"wanted": ONE["key"]}))
    assert len(waits) > number
    with database.reading() as connection:
        assert driver_of(connection).info.pipeline_status == PipelineStatus.OFF
        assert driver_of(connection).info.transaction_status == TransactionStatus.IDLE


def test_sending_to_a_server_that_hangs_does_not_tell_others_that_it_is_well(
    database: Database, postgresql: PostgreSQL
) -> None:
    connection = database.engine.raw_connection()
    driver: Any = connection.dbapi_connection

    def send_and_look() -> None:
        with driver.pipelined():
            driver.execute("SELECT 1")
            with pytest.raises(StoreHangs):
                driver.breaker.check()

    with postgresql.hanging():
        driver.breaker.gave_up(driver.breaker.asked())
        with pytest.raises(OperationalError, match="did not answer"):
            send_and_look()
        with pytest.raises(StoreHangs):
            driver.breaker.check()
    connection.invalidate()


def test_a_server_that_hangs_costs_one_wait(database: Database, postgresql: PostgreSQL) -> None:

    def spend_what_is_not_spent(connection: Connection) -> None:
        if FIND.first(connection, {"wanted": ONE["key"]}) is None:
            SPEND.run(connection, ONE)

    count(database)  # so that a connection is open
    with postgresql.hanging():
        for longest in (5.0, AT_ONCE):
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                database.together(spend_what_is_not_spent)
            assert time.monotonic() - started < longest
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            assert count(database) == 0
            return
        except StoreUnavailable:
            time.sleep(0.1)
    pytest.fail("the database is not used again")
