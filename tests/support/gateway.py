"""A gateway in this process, with its real database, for tests that talk to it through Flask's test client."""

import atexit
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import Engine

from idp.tests.support import TEMPLATES
from sp import config, create_app
from sp.components import Components
from tests.support.stores import PostgreSQL

URL = "http://127.0.0.1:5000"
DATABASE = "sp.sqlite3"


@cache
def _migrated() -> Path:
    """Return an empty database with every migration, made once in this process."""
    folder = _temporary_folder()
    engine = _migrate(folder)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return folder / DATABASE


def migrated_postgresql(server: PostgreSQL) -> str:
    """Return the URL of a new database with every migration: a copy of one that is made once on each server."""
    if server.template is None:
        url = server.create_database()
        _migrate(_temporary_folder(), SP_DATABASE_URL=url).dispose()
        server.template = url.rpartition("/")[2]
    return server.create_database(server.template)


def _migrate(folder: Path, **environ: str) -> Engine:
    """Make an empty database with every migration; return its engine."""
    defaults = {"SP_INSTANCE": str(folder), "SP_SECRET_KEY": "k" * 48, "SP_EXTERNAL_URL": URL}
    return core_of(create_app(config.load({**defaults, **environ}))).database.engine


def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="lychgate-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def make_gateway(folder: Path, providers: Mapping[str, Mapping[str, Any]] | None = None, **environ: str) -> Flask:
    """Return a gateway on the state in *folder*, with *providers* applied; *environ* are settings such as SP_PREFIX."""
    folder.mkdir(parents=True, exist_ok=True)
    key_file = folder / "secret-key"
    if not key_file.exists():
        key_file.write_text(secrets.token_urlsafe(48))
    defaults = {
        "SP_INSTANCE": str(folder),
        "SP_SECRET_KEY": key_file.read_text(),
        "SP_EXTERNAL_URL": URL,
        "SP_SESSION_CACHE": "0",
    }
    settings = config.load({**defaults, **environ})
    own_database = folder / DATABASE
    if settings.database_url == f"sqlite:///{own_database}" and not own_database.exists():
        shutil.copyfile(_migrated(), own_database)
    app = create_app(settings)
    app.jinja_env.bytecode_cache = TEMPLATES
    if providers:
        core_of(app).provider_store.apply(providers, actor="test")
    return app


def core_of(app: Flask) -> Components:
    """Return the parts of *app*."""
    core: Components = app.extensions["lychgate"]
    return core
