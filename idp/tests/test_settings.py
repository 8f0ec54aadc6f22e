"""The environment, and what the program refuses to start with."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from shared import demo
from shared.settings import SettingsRefused

import idp
from idp import config
from idp.tests.support import KEY

SECRET = "a-secret-key-for-these-tests-0123456789"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start from an environment that sets only the folder of the state."""
    for name in list(os.environ):
        if name.startswith("IDP_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IDP_INSTANCE", str(tmp_path / "instance"))
    monkeypatch.setenv("IDP_EXTERNAL_URL", "")  # so that monkeypatch undoes what `prepare` sets


def test_every_mistake_is_told_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "services.toml").write_text('[services.gate]\npreset = "nonsense"\n')
    for name, value in {
        "IDP_SECRET_KEY": "short",
        "IDP_EXTERNAL_URL": "idp.example",
        "IDP_TRUSTED_PROXIES": "10.0.0.0/8, 0.0.0.0/0",
        "IDP_DATABASE_URL": "mysql://db",
        "IDP_SESSION_IDLE": "an hour",
        "IDP_PEOPLE": "no colon",
        "IDP_CONFIG": "services.toml",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsRefused) as refused:
        config.load()
    assert len(refused.value.mistakes) == 7


def test_settings_come_from_a_dotenv_file_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(f"IDP_SECRET_KEY={SECRET}\nIDP_SESSION_IDLE=120\nIDP_SESSION_LIFETIME=240\n")
    monkeypatch.setenv("IDP_SESSION_IDLE", "180")
    settings = config.load()
    assert settings.secret_keys == (SECRET,)
    assert (settings.session_idle, settings.session_lifetime) == (180, 240)
    assert not settings.demo


def test_without_a_secret_key_it_is_a_demo_with_generated_secrets(tmp_path: Path) -> None:
    banner = idp.prepare("127.0.0.1", 5999)
    assert "DEMO" in banner
    assert "http://127.0.0.1:5999/" in banner
    pair_file = tmp_path / "instance" / demo.FILE
    assert pair_file.stat().st_mode & 0o077 == 0
    assert json.loads(pair_file.read_text())["idp_url"] == "http://127.0.0.1:5999"


@pytest.mark.parametrize("networks", ["0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/4", "2000::/3", "somewhere"])
def test_half_the_world_is_no_proxy_of_ours(networks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_TRUSTED_PROXIES", networks)
    with pytest.raises(SettingsRefused, match="IDP_TRUSTED_PROXIES"):
        config.load()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])  # noqa: S104  # it is refused
def test_a_demo_is_not_bound_to_the_world(host: str) -> None:
    with pytest.raises(SettingsRefused, match="IDP_SECRET_KEY"):
        idp.prepare(host, 5999)


def test_a_deployment_may_be_bound_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_SECRET_KEY", SECRET)
    assert "DEMO" not in idp.prepare("0.0.0.0", 5999)  # noqa: S104


def test_no_secret_is_shown_by_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_SECRET_KEY", SECRET)
    monkeypatch.setenv("IDP_DATABASE_URL", "postgresql+psycopg://idp:hunter2@db/idp")
    assert SECRET not in repr(config.load())
    assert "hunter2" not in repr(config.load())


def test_the_demo_service_follows_the_gateway_to_another_port(tmp_path: Path) -> None:
    app = idp.create_app()
    instance = tmp_path / "instance"
    with app.app_context():
        registry = app.extensions["idp"].services
        demo.announce(instance, sp_url="http://127.0.0.1:5678")
        service = registry.find("demo")
        assert service.return_url == "http://127.0.0.1:5678/sso/login/jwt"
        assert service.backchannel_logout_url == "http://127.0.0.1:5678/sso/logout/backchannel"
        assert service.delivery == "form"
        assert [s.name for s in registry.all()] == ["demo"]


def test_a_services_file_replaces_the_demo_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "services.toml"
    file.write_text(
        '[services.gate]\npreset = "ispring"\nreturn_url = "https://gate.example/sso"\nkeys = ["env:GATE_KEY"]\n'
    )
    monkeypatch.setenv("GATE_KEY", KEY)
    monkeypatch.setenv("IDP_CONFIG", str(file))
    app = idp.create_app()
    with app.app_context():
        assert [s.name for s in app.extensions["idp"].services.all()] == ["gate"]
    file.write_text("")
    app = idp.create_app()
    with app.app_context():
        assert [s.name for s in app.extensions["idp"].services.all()] == ["demo"]


def test_a_missing_environment_variable_of_a_services_file_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "services.toml").write_text('[services.gate]\npreset = "ispring"\nkeys = ["env:NOT_THERE"]\n')
    monkeypatch.setenv("IDP_CONFIG", "services.toml")
    with pytest.raises(SettingsRefused, match="NOT_THERE"):
        config.load()


def test_a_database_that_cannot_be_opened_is_told_and_not_traced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IDP_DATABASE_URL", f"sqlite:///{tmp_path}/file/idp.sqlite3")
    with pytest.raises(SettingsRefused, match="IDP_DATABASE_URL"):
        idp.create_app()


def test_a_directory_that_cannot_be_imported_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_PEOPLE", "idp.no_such_module:open_directory")
    with pytest.raises(SettingsRefused, match="IDP_PEOPLE"):
        idp.create_app()


def test_a_changed_secret_key_keeps_the_services_keys_with_its_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_SECRET_KEY", SECRET)
    first = idp.create_app()
    runner = first.test_cli_runner()
    Path("services.toml").write_text(
        '[services.gate]\npreset = "ispring"\nreturn_url = "https://g.example/"\nkeys = []\n'
    )
    assert runner.invoke(args=["services", "apply", "services.toml"]).exit_code == 0
    monkeypatch.setenv("IDP_SECRET_KEY", "another-secret-key-of-these-tests-012345")
    assert idp.create_app().test_client().get("/readyz").status_code == 503
    monkeypatch.setenv("IDP_SECRET_KEY_FALLBACKS", SECRET)
    assert idp.create_app().test_client().get("/readyz").status_code == 200
