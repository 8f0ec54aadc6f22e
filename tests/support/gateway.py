"""A gateway in this process, with its real database, for tests that talk to it through Flask's test client."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask

from sp import config, create_app
from sp.components import Components

URL = "http://127.0.0.1:5000"


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
    app = create_app(config.load({**defaults, **environ}))
    if providers:
        core_of(app).provider_store.apply(providers, actor="test")
    return app


def core_of(app: Flask) -> Components:
    """Return the parts of *app*."""
    core: Components = app.extensions["lychgate"]
    return core
