"""A new program with the cast and one service for each test, in a separate folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from idp import create_app
from idp.config import Settings
from idp.models import db
from idp.stores.directory import SqlDirectory
from idp.tests.support import ALICE, BOB, GATE, MALLORY, TEMPLATES, Browser, Clock, register

MakeApp = Callable[..., Flask]
DATABASE = "idp.sqlite3"
SECRET_KEY = "the-secret-key-of-these-tests-only-0123456789"


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the cast and one service, the gate. It is made once, because making it takes a while."""
    folder = tmp_path_factory.mktemp("furnished")
    app = create_app(settings_in(folder))
    add_cast(app)
    register(app, gate=GATE)
    with app.app_context():
        db.engine.dispose()
    return folder / DATABASE


@pytest.fixture
def clock() -> Clock:
    """The clock of `app`."""
    return Clock()


@pytest.fixture
def make_app(tmp_path: Path, clock: Clock) -> Iterator[MakeApp]:
    """Yield a function that builds the program with a test's own settings. `app` puts the cast into the database."""
    made: list[Flask] = []

    def make(**changes: object) -> Flask:
        values = {name: changes.pop(name) for name in list(changes) if name in ("people", "services")}
        settings = Settings(**{**vars(settings_in(tmp_path)), **changes})
        app = create_app(settings, clock=clock, **values)  # type: ignore[arg-type]
        app.jinja_env.bytecode_cache = TEMPLATES
        made.append(app)
        return app

    yield make
    for app in made:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def app(make_app: MakeApp, furnished: Path, tmp_path: Path) -> Flask:
    """The program, with the cast and one service, the gate."""
    shutil.copyfile(furnished, tmp_path / DATABASE)
    return make_app()


@pytest.fixture
def browser(app: Flask) -> Browser:
    """A browser without cookies."""
    return Browser(app)


def settings_in(folder: Path) -> Settings:
    """Return the settings of a program that keeps its state in *folder*."""
    return Settings(
        instance=folder,
        secret_keys=(SECRET_KEY,),
        database_url=f"sqlite:///{folder}/{DATABASE}",
        external_url="http://idp.example",
    )


def add_cast(app: Flask) -> None:
    """Add the cast to the directory, and disable Bob."""
    with app.app_context():
        directory = SqlDirectory()
        directory.add(
            ALICE.email,
            ALICE.password,
            given_name="Alice",
            family_name="Liddell",
            groups=["staff"],
            attributes={"department": "Curiosity"},
        )
        directory.add(BOB.email, BOB.password, given_name="Bob", family_name="Sparrow", groups=["staff"])
        directory.add(MALLORY.email, MALLORY.password, given_name="Mallory", family_name="Malloch")
        directory.set_disabled(BOB.email, True)
