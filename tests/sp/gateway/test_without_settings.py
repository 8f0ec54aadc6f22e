"""A gateway in another server without settings is a demo, says so, and never redirects to a wrong port."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from sp.gateway import Gateway
from tests.sp.gateway.gate import PAGE, SCRIPT, Gate
from tests.support.gateway import core_of


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every setting away but the folder."""
    for name in [name for name in os.environ if name.startswith("SP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SP_INSTANCE", str(tmp_path / "instance"))


def application(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the application"]


def embedded() -> Gate:
    gateway = Gateway(application)
    return Gate(gateway, core_of(gateway.own))


@pytest.mark.usefixtures("bare")
def test_it_says_in_the_log_that_it_is_a_demo(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        embedded().core.database.engine.dispose()
    (warning,) = [record.getMessage() for record in caplog.records if "DEMO" in record.getMessage()]
    assert "SP_SECRET_KEY" in warning
    assert "http://127.0.0.1:5000" in warning


@pytest.mark.usefixtures("bare")
def test_with_a_secret_key_it_says_nothing(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SP_SECRET_KEY", "a-secret-key-for-these-tests-0123456789")
    with caplog.at_level(logging.WARNING):
        embedded().core.database.engine.dispose()
    assert not [record for record in caplog.records if "DEMO" in record.getMessage()]


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "localhost"])
@pytest.mark.parametrize("path", ["/", "/login", "/sso/start"])
def test_at_another_port_it_refuses_and_names_the_setting(host: str, path: str) -> None:
    gate = embedded()
    answer = gate.ask(path, headers={**PAGE, "Host": host})
    script = gate.ask(path, headers={**SCRIPT, "Host": host})
    gate.core.database.engine.dispose()
    assert (answer.status, script.status) == (400, 400)
    assert answer.header("Location") is None
    assert f"SP_EXTERNAL_URL=http://{host}" in answer.text
    assert json.loads(script.body)["error"] == "host_foreign"


@pytest.mark.usefixtures("bare")
def test_at_the_port_that_it_takes_for_its_own_a_sign_in_begins() -> None:
    gate = embedded()
    locations = [
        gate.ask("/", headers={**PAGE, "Host": host}).header("Location")
        for host in ("127.0.0.1:5000", "localhost:5000")
    ]
    gate.core.database.engine.dispose()
    assert locations == ["http://127.0.0.1:5000/sso/start?return_to=%2F"] * 2


@pytest.mark.usefixtures("bare")
def test_at_the_port_that_it_was_told_a_sign_in_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SP_EXTERNAL_URL", "http://localhost:8000")
    gate = embedded()
    location = gate.ask("/", headers={**PAGE, "Host": "127.0.0.1:8000"}).header("Location")
    gate.core.database.engine.dispose()
    assert location == "http://localhost:8000/sso/start?return_to=%2F"
