"""Gateways in the test's own process."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.support.gateway import core_of, make_gateway

MakeGateway = Callable[..., Flask]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[MakeGateway]:
    """Return the function that makes a gateway; each call on the same state, as a restart would be."""
    made: list[Flask] = []

    def make(providers: Mapping[str, Mapping[str, Any]] | None = None, **environ: str) -> Flask:
        made.append(make_gateway(tmp_path / "sp", providers, **environ))
        return made[-1]

    yield make
    for app in made:
        core_of(app).database.engine.dispose()
