"""What /readyz asks of a database, and how little that costs: anyone may ask it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, text

from shared import disk, schema
from shared.disk import write_trouble
from shared.schema import is_up_to_date, prepare_engine, upgrade
from sp.database import MIGRATIONS


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = prepare_engine(create_engine(f"sqlite:///{tmp_path / 'some.sqlite3'}"))
    yield engine
    engine.dispose()


def test_the_migrations_are_read_once_and_not_at_each_question(engine: Engine, tmp_path: Path) -> None:
    copy = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, copy)
    upgrade(engine, copy)
    assert is_up_to_date(engine, copy)
    shutil.rmtree(copy)
    assert is_up_to_date(engine, copy)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
    assert not is_up_to_date(engine, copy)


def test_a_writer_at_work_is_no_trouble(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "PATIENCE", 0)
    with engine.execution_options(write=True).begin() as connection:
        connection.execute(text("CREATE TABLE rows (id INTEGER)"))
        assert write_trouble(engine) == ""


def test_many_questions_cost_one_write(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "some.sqlite3-wal"
    with engine.connect() as connection:  # held, so that SQLite keeps the log
        connection.execute(text("CREATE TABLE rows (id INTEGER)"))
        connection.commit()
        before = log.stat().st_size
        assert write_trouble(engine) == ""
        written = log.stat().st_size
        assert written > before
        assert [write_trouble(engine) for _ in range(20)] == [""] * 20
        assert log.stat().st_size == written


def test_a_database_that_is_gone_is_not_made_by_asking(engine: Engine, tmp_path: Path) -> None:
    assert write_trouble(engine) == "unable to open database file"
    assert not (tmp_path / "some.sqlite3").exists()


@pytest.mark.parametrize("program", ["sp", "idp"])
def test_the_newest_migration_is_the_one_that_alembic_names(program: str) -> None:
    folder = Path(__file__).parents[2] / program / "migrations"
    config = Config()
    config.set_main_option("script_location", str(folder))
    assert schema._head(folder) == ScriptDirectory.from_config(config).get_current_head()


@pytest.mark.parametrize(
    "texts",
    [
        ['revision = "b1"\ndown_revision = None', "revision: str = 'a2'\ndown_revision: str | None = 'b1'"],
        ['revision = "b1"', "revision='a2'\ndown_revision='b1'\nbranch_labels=None", "import os"],
    ],
)
def test_the_newest_migration_is_found_by_what_it_follows_and_not_by_its_name(texts: list[str], tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    for number, content in enumerate(texts):
        (tmp_path / "versions" / f"{number}.py").write_text(content)
    assert schema._head(tmp_path) == "a2"
