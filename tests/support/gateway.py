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
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket

from sp import config, create_app
from sp.components import Components

URL = "http://127.0.0.1:5000"
DATABASE = "sp.sqlite3"


class CompiledTemplates(BytecodeCache):
    """The templates, compiled once in this process: each test has an application, and they are the same in all."""

    def __init__(self) -> None:
        self._compiled: dict[str, Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._compiled.get(f"{bucket.key} {bucket.checksum}")

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._compiled[f"{bucket.key} {bucket.checksum}"] = bucket.code


TEMPLATES = CompiledTemplates()


@cache
def _migrated() -> Path:
    """Return an empty database with every migration, made once in this process."""
    folder = Path(tempfile.mkdtemp(prefix="lychgate-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    app = create_app(config.load({"SP_INSTANCE": str(folder), "SP_SECRET_KEY": "k" * 48, "SP_EXTERNAL_URL": URL}))
    engine = core_of(app).database.engine
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return folder / DATABASE


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
