"""The one way to the tables: what a failure becomes, and that no part of the gateway goes around it."""

import ast
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from shared.errors import StoreUnavailable
from sp.database.access import Database
from tests.support.gateway import core_of, make_gateway

SP = Path(__file__).parents[3] / "sp"
SPEND = text("INSERT INTO spent_token (key, expires_at) VALUES (:key, 0)")
COUNT = text("SELECT count(*) FROM spent_token")
WHOLE_DATABASE = {"app.py", "__init__.py", "views/health.py"}  # migrations, clocks, health


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return core_of(make_gateway(tmp_path)).database


def test_what_is_written_is_there_for_the_next_reader(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(SPEND, {"key": b"k"})
    with database.reading() as connection:
        assert connection.execute(COUNT).scalar() == 1


def test_an_exception_leaves_nothing_written(database: Database) -> None:
    with suppress(KeyError), database.writing() as connection:
        connection.execute(SPEND, {"key": b"k"})
        raise KeyError
    with database.reading() as connection:
        assert connection.execute(COUNT).scalar() == 0


def test_what_was_read_with_is_not_committed(database: Database) -> None:
    with database.reading() as connection:
        connection.execute(SPEND, {"key": b"k"})
    with database.reading() as connection:
        assert connection.execute(COUNT).scalar() == 0


@pytest.mark.parametrize("way", ["reading", "writing"])
def test_a_failing_statement_denies_access(database: Database, way: str) -> None:
    with pytest.raises(StoreUnavailable, match="OperationalError"), getattr(database, way)() as connection:
        connection.execute(text("SELECT * FROM no_such_table"))


@pytest.mark.parametrize("way", ["reading", "writing"])
def test_a_database_that_cannot_be_opened_denies_access(database: Database, tmp_path: Path, way: str) -> None:
    database.engine.dispose()
    (tmp_path / "sp.sqlite3").unlink()
    (tmp_path / "sp.sqlite3").mkdir()
    with pytest.raises(StoreUnavailable), getattr(database, way)():
        pytest.fail("a connection to a folder was given out")


def test_a_row_that_is_there_already_is_an_answer(database: Database) -> None:
    for _time in range(2):
        try:
            with database.writing() as connection:
                connection.execute(SPEND, {"key": b"k"})
        except IntegrityError:
            break
    else:
        pytest.fail("the same key was spent twice")


def test_no_module_of_the_gateway_opens_a_connection_by_itself() -> None:
    around = set()
    for path in SP.rglob("*.py"):
        name = str(path.relative_to(SP))
        if not name.startswith(("database/", "migrations/")) and _knows_the_engine(ast.parse(path.read_text())):
            around.add(name)
    assert around == WHOLE_DATABASE


def _knows_the_engine(module: ast.Module) -> bool:
    """Tell whether a module takes the engine, by which it could open a connection, or looks at its failures."""
    nodes = list(ast.walk(module))
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    names = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    return "engine" in attributes or bool(names & {"Engine", "SQLAlchemyError", "OperationalError"})
