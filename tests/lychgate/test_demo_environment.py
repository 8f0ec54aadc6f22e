"""The demo starts without the secret keys of a real deployment, wherever they are set."""

from pathlib import Path
from typing import Any

import pytest

import idp.config
import sp.config
from lychgate.demo import demo_environment


@pytest.mark.parametrize("program", [sp.config, idp.config])
@pytest.mark.parametrize("suffix", ["", "_FILE"])
@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_secret_key_does_not_reach_the_demo(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    program: Any,
    suffix: str,
    place: str,
) -> None:
    name = f"{program.__name__.partition('.')[0].upper()}_SECRET_KEY{suffix}"
    (tmp_path / "key").write_text("the key of a real deployment, which has no place here")
    value = str(tmp_path / "key") if name.endswith("_FILE") else (tmp_path / "key").read_text()
    monkeypatch.chdir(tmp_path)
    if place == ".env":
        (tmp_path / ".env").write_text(f"{name}='{value}'\n")
    else:
        monkeypatch.setenv(name, value)
    for variable, given in demo_environment().items():
        monkeypatch.setenv(variable, given)
    assert (tmp_path / "key").read_text() not in program.load().secret_keys
    assert (name in capsys.readouterr().out) is (place == "environment")


def test_the_demo_writes_nothing_into_the_databases_of_a_deployment_whose_settings_are_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    real = "sqlite:////var/lib/real.sqlite3"
    settings = {"SP_DATABASE_URL": real, "IDP_DATABASE_URL": real, "SP_REPLAY_URL": "redis://127.0.0.1/1"}
    settings |= {"SP_SECRET_KEY_FALLBACKS": "f" * 40, "IDP_SECRET_KEY_FALLBACKS": "f" * 40}
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    for variable, given in demo_environment().items():
        monkeypatch.setenv(variable, given)
    gateway, provider = sp.config.load(), idp.config.load()
    assert str(tmp_path) in gateway.database_url
    assert str(tmp_path) in provider.database_url
    assert gateway.replay_url == ""
    assert (len(gateway.secret_keys), len(provider.secret_keys)) == (1, 1)


def test_a_database_that_is_named_for_the_demo_itself_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SP_DATABASE_URL", f"sqlite:///{tmp_path}/mine.sqlite3")
    assert demo_environment()["SP_DATABASE_URL"] == f"sqlite:///{tmp_path}/mine.sqlite3"
