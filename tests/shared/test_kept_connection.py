"""Transactions that share a connection: each has the write lock for itself, and a failure leaves nothing in it."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError

from shared import sqlite
from shared.kept_connection import KeptConnection
from shared.schema import make_engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = make_engine(f"sqlite:///{tmp_path / 'some.sqlite3'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE numbers (number INTEGER)"))
    yield engine
    engine.dispose()


@pytest.fixture
def kept(engine: Engine) -> KeptConnection:
    writing = engine.execution_options(write=True)
    return KeptConnection(writing, lambda connection: sqlite.leave(engine, connection.info))


def add(kept: KeptConnection, number: int, *then: str) -> Any:
    """Return the driver's connection that has added *number*, and has executed *then*."""
    with kept.begin() as connection:
        for statement in ("INSERT INTO numbers VALUES (:number)", *then):
            connection.execute(text(statement), {"number": number})
        return connection.connection.dbapi_connection


def numbers(engine: Engine) -> list[int]:
    with engine.execution_options(write=True).begin() as connection:  # it needs the lock
        return list(connection.execute(text("SELECT number FROM numbers ORDER BY number")).scalars())


def test_transactions_share_a_connection_and_others_write_between_them(engine: Engine, kept: KeptConnection) -> None:
    first = add(kept, 1)
    assert numbers(engine) == [1]
    assert add(kept, 2) is first
    assert engine.pool.checkedout() == 1  # type: ignore[attr-defined]
    assert numbers(engine) == [1, 2]


def test_a_transaction_that_fails_is_undone_and_its_connection_goes_back(engine: Engine, kept: KeptConnection) -> None:
    add(kept, 1)
    with kept.begin() as connection:
        used = connection
    with pytest.raises(OperationalError):
        add(kept, 2, "INSERT INTO nothing VALUES (:number)")
    assert used.closed
    assert numbers(engine) == [1]
    add(kept, 3)
    assert numbers(engine) == [1, 3]


def test_a_lock_that_cannot_be_had_leaves_no_connection_behind(
    engine: Engine, kept: KeptConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(kept, 1)
    monkeypatch.setattr(sqlite, "TURN", 0.05)
    with engine.execution_options(write=True).begin(), pytest.raises(OperationalError, match="write lock"):
        add(kept, 0)
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    add(kept, 2)
    assert numbers(engine) == [1, 2]


def test_a_rollback_within_the_transaction_keeps_nothing_of_it(engine: Engine, kept: KeptConnection) -> None:
    with kept.begin() as connection:
        connection.execute(text("INSERT INTO numbers VALUES (1)"))
        connection.rollback()
    add(kept, 2)
    assert numbers(engine) == [2]


def test_it_is_closed_with_the_engine(engine: Engine, kept: KeptConnection) -> None:
    first = add(kept, 1)
    kept.close()
    engine.dispose()
    assert add(kept, 2) is not first
    assert numbers(engine) == [1, 2]


def test_attack_a_child_of_a_fork_inherits_no_connection_of_an_engine_that_was_disposed_of(
    engine: Engine, kept: KeptConnection
) -> None:
    """SQLite forbids to carry one into a child: its locks are those of the process that opened it."""
    event.listen(engine, "engine_disposed", lambda _engine: kept.close())
    driver = add(kept, 1)
    engine.dispose()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        driver.execute("SELECT 1")


def test_one_whose_engine_was_disposed_of_meanwhile_is_closed_at_the_end(engine: Engine, kept: KeptConnection) -> None:
    with kept.begin() as connection:
        kept.close()
        engine.dispose()
        connection.execute(text("INSERT INTO numbers VALUES (1)"))
    assert connection.closed
    assert numbers(engine) == [1]


def test_a_database_in_memory_has_a_connection_for_each_thread_so_none_is_kept() -> None:
    engine = create_engine("sqlite://")
    with KeptConnection(engine, lambda _: None).begin() as connection:
        pass
    assert connection.closed
    engine.dispose()
