"""The limits of an engine for PostgreSQL: on connecting, on statements, on locks, and on the wait for a connection."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from shared import postgresql as limits
from shared.breaker import PLACES
from shared.schema import engine_options, make_engine
from shared.settings import SettingsRefused
from tests.support.stores import PostgreSQL

pytestmark = pytest.mark.cluster

ANSWER = 5.0  # seconds, as docs/deploying.md promises
AT_ONCE = 0.5  # seconds


@pytest.fixture
def engine(postgresql: PostgreSQL) -> Iterator[Engine]:
    engine = make_engine(postgresql.create_database())
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE sums (total INTEGER)"))
        connection.execute(text("INSERT INTO sums VALUES (0)"))
    yield engine
    engine.dispose()


def fails_after(engine: Engine, statement: str) -> float:
    started = time.monotonic()
    with pytest.raises(OperationalError), engine.begin() as connection:
        connection.execute(text(statement))
    return time.monotonic() - started


def works(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.execute(text("SELECT 1")).scalar_one() == 1)


def test_a_statement_that_takes_too_long_is_ended_by_the_server_and_the_connection_lives(engine: Engine) -> None:
    with engine.connect() as connection:
        before = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    assert fails_after(engine, "SELECT pg_sleep(60)") < ANSWER
    with engine.connect() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() == before


def test_a_lock_that_another_holds_is_waited_for_briefly(engine: Engine) -> None:
    with engine.begin() as other:
        other.execute(text("UPDATE sums SET total = 1"))
        assert fails_after(engine, "UPDATE sums SET total = 2") < ANSWER
    assert works(engine)


def test_a_connection_that_others_have_is_waited_for_briefly(engine: Engine) -> None:
    with ExitStack() as stack:
        for _ in range(PLACES):
            stack.enter_context(engine.connect())
        assert fails_after(engine, "SELECT 1") < ANSWER
    assert works(engine)


def test_a_connection_that_comes_back_after_the_pool_was_disposed_of_is_closed(engine: Engine) -> None:
    """A thread in the background may have it at that time. The server would keep it until the garbage collection."""
    with engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert isinstance(driver, limits.BoundedConnection)
        engine.dispose()
        assert not driver.closed
    assert driver.closed
    assert works(engine)


def test_a_migration_may_take_its_time_and_what_serves_people_may_not(engine: Engine) -> None:
    def limit() -> str:
        with engine.connect() as connection:
            return str(connection.execute(text("SHOW statement_timeout")).scalar_one())

    assert limit() == "2s"
    with limits.patient(engine, migrating=True):
        assert limit() == "0"
    assert limit() == "2s"


def test_a_port_that_accepts_and_says_nothing_costs_one_wait_and_then_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        engine = make_engine(f"postgresql+psycopg://lychgate@127.0.0.1:{silent.getsockname()[1]}/lychgate")
        assert fails_after(engine, "SELECT 1") < ANSWER
        assert fails_after(engine, "SELECT 1") < AT_ONCE


def test_what_the_url_says_of_the_network_stands() -> None:
    options = engine_options("postgresql+psycopg://lychgate@127.0.0.1/lychgate?keepalives_idle=7")
    assert "keepalives_idle" not in options["connect_args"]
    assert options["connect_args"]["connect_timeout"] == limits.NETWORK["connect_timeout"]


def test_a_url_that_cannot_be_read_is_refused_without_the_password_in_it() -> None:
    with pytest.raises(SettingsRefused) as refused:
        engine_options("postgresql+psycopg://lychgate:s3cret:1@2:x/@db.example.org/lychgate", "SP_DATABASE_URL")
    assert "SP_DATABASE_URL is not the URL of a database" in str(refused.value)
    assert "s3cret" not in str(refused.value)
