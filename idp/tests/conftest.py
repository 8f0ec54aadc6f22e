"""A program with the cast and one service, in a folder of its own, for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from idp import create_app
from idp.config import Settings
from idp.models import db
from idp.stores.directory import SqlDirectory
from idp.tests.support import ALICE, BOB, GATE, MALLORY, Browser, Clock, register

MakeApp = Callable[..., Flask]


@pytest.fixture
def clock() -> Clock:
    """The clock of `app`."""
    return Clock()


@pytest.fixture
def make_app(tmp_path: Path, clock: Clock) -> Iterator[MakeApp]:
    """Make the program with settings of the test's own, the cast in its database."""
    made: list[Flask] = []

    def make(**changes: object) -> Flask:
        settings = Settings(
            instance=tmp_path,
            secret_keys=("the-secret-key-of-these-tests-only-0123456789",),
            database_url=f"sqlite:///{tmp_path}/idp.sqlite3",
            external_url="http://idp.example",
        )
        values = {name: changes.pop(name) for name in list(changes) if name in ("people", "services")}
        app = create_app(Settings(**{**vars(settings), **changes}), clock=clock, **values)  # type: ignore[arg-type]
        made.append(app)
        return app

    yield make
    for app in made:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    """The program, with the cast, and the gate as its one service."""
    app = make_app()
    add_cast(app)
    register(app, gate=GATE)
    return app


@pytest.fixture
def browser(app: Flask) -> Browser:
    """A browser without a past."""
    return Browser(app)


def add_cast(app: Flask) -> None:
    """Let the cast be known; Bob is disabled."""
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
