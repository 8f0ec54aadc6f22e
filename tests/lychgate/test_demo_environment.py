"""The demo starts without the secret keys of a real deployment, wherever they are set."""

from pathlib import Path

import pytest

from lychgate.demo import demo_environment
from sp import config


@pytest.mark.parametrize("name", ["SP_SECRET_KEY", "SP_SECRET_KEY_FILE"])
@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_secret_key_does_not_reach_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, place: str
) -> None:
    (tmp_path / "key").write_text("the key of a real deployment, which has no place here")
    value = str(tmp_path / "key") if name.endswith("_FILE") else (tmp_path / "key").read_text()
    monkeypatch.chdir(tmp_path)
    if place == ".env":
        (tmp_path / ".env").write_text(f"{name}='{value}'\n")
    else:
        monkeypatch.setenv(name, value)
    for variable, given in demo_environment().items():
        monkeypatch.setenv(variable, given)
    assert config.load().is_demo
    assert (name in capsys.readouterr().out) is (place == "environment")
