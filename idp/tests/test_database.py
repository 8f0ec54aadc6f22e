"""The schema and the health endpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from flask import Flask
from shared.schema import prepare_engine
from sqlalchemy import Engine, create_engine, select, text

from idp import models
from idp.models import Base, ParticipationRow, db
from idp.tests.conftest import MakeApp
from idp.tests.support import ALICE, Browser


def test_the_migrations_make_the_tables_of_the_models(app: Flask) -> None:
    with app.app_context(), db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, Base.metadata) == []


def test_a_second_start_finds_its_state(make_app: MakeApp, app: Flask) -> None:
    again = make_app()
    assert Browser(again).sign_in().status_code == 303


def test_sqlite_keeps_commits_through_a_power_cut(app: Flask) -> None:
    with app.app_context():
        assert db.session.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
        assert db.session.execute(text("PRAGMA journal_mode")).scalar() == "wal"


def test_a_healthy_program_says_so(browser: Browser) -> None:
    assert browser.get("/healthz").get_json() == {"status": "ok"}
    assert browser.get("/readyz").get_json() == {"status": "ready", "missing": []}


@pytest.mark.parametrize(
    ("damage", "missing"),
    [
        ("DELETE FROM alembic_version", "the database schema is not up to date"),
        ("DROP TABLE service_keys", "the database cannot be reached"),
    ],
)
def test_readyz_names_what_is_missing(app: Flask, browser: Browser, damage: str, missing: str) -> None:
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text(damage))
    answer = browser.get("/readyz")
    assert answer.status_code == 503
    assert answer.get_json()["missing"] == [missing]
    assert browser.get("/healthz").status_code == 200


def test_state_is_for_its_owner_alone(make_app: MakeApp, tmp_path: Path) -> None:
    instance = tmp_path / "new"
    make_app(instance=instance, database_url=f"sqlite:///{instance}/idp.sqlite3")
    assert instance.stat().st_mode & 0o077 == 0


def test_a_session_that_is_open_during_the_upgrade_is_named_by_its_address_when_it_ends(tmp_path: Path) -> None:
    engine = prepare_engine(create_engine(f"sqlite:///{tmp_path / 'old.sqlite3'}"))
    migrate(engine, "0001")
    with engine.begin() as connection:
        signed_in = "INSERT INTO sessions VALUES ('s', 'id', :email, '2026-01-01', '2026-01-01', '2026-01-02', false)"
        connection.execute(text(signed_in), {"email": ALICE.email})
        connection.execute(text("INSERT INTO participations VALUES ('s', 'gate', 'sid')"))
    migrate(engine, "head")
    with engine.connect() as connection:
        assert connection.execute(select(ParticipationRow.claims)).scalar_one() == {"email": ALICE.email}
    engine.dispose()


def migrate(engine: Engine, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(models.__file__).with_name("migrations")))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
