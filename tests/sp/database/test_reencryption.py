"""SP_SECRET_KEY can be changed: everything keeps working, and afterwards the old key can be deleted."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from lab.cast import CAROL
from lab.minting import mint
from lab.scripted_server import answer, scripted_server
from shared.keys import generate_key, load_key
from shared.vault import Vault, VaultLocked
from tests.sp.conftest import MakeGateway
from tests.support.forms import forms_of
from tests.support.gateway import core_of

OLD, NEW, LOST = "o" * 48, "n" * 48, "l" * 48
KEY = "a secret of the cast, long enough for SHA-256"
PROVIDERS: dict[str, dict[str, Any]] = {
    "corporate": {"keys": [KEY], "deliveries": ["header"], "default": True, "login_url": "http://127.0.0.1:1/"}
}


def try_in(app: Flask, key: str = KEY) -> Any:
    now = int(time.time())
    claims = {"iat": now, "exp": now + 60, "jti": str(time.perf_counter_ns()), "email": "alice@example.com"}
    headers = {"Authorization": f"Bearer {mint(claims, key)}"}
    response = app.test_client().get("/sso/login/jwt", headers=headers)
    return response.get_json().get("error", response.status_code)


def encrypted(app: Flask, table: str) -> list[str]:
    with core_of(app).database.engine.connect() as connection:
        return list(connection.execute(text(f"SELECT sealed FROM {table}")).scalars())  # noqa: S608


def command(app: Flask, *args: str) -> Any:
    return app.test_cli_runner().invoke(args=["providers", "reencrypt", *args])


def test_with_the_old_key_among_the_fallbacks_everything_opens(gateway: MakeGateway) -> None:
    gateway(PROVIDERS, SP_SECRET_KEY=OLD)
    assert try_in(gateway(SP_SECRET_KEY=NEW, SP_SECRET_KEY_FALLBACKS=OLD)) == 200


def test_after_one_start_the_old_key_is_no_longer_needed(gateway: MakeGateway) -> None:
    gateway(PROVIDERS, SP_SECRET_KEY=OLD)
    gateway(SP_SECRET_KEY=NEW, SP_SECRET_KEY_FALLBACKS=OLD)
    assert try_in(gateway(SP_SECRET_KEY=NEW)) == 200
    assert try_in(gateway(SP_SECRET_KEY=OLD)) == "key_unavailable"


def test_the_keys_of_assertions_and_the_kept_keys_of_endpoints_are_reencrypted_too(gateway: MakeGateway) -> None:
    public = load_key(generate_key("ES256"), "ES256")
    with scripted_server(answer(json.dumps({"keys": [public.public_jwk()]}))) as server:
        settings = {"algorithm": "ES256", "jwks_url": server.url, "deliveries": ["header"]}
        app = gateway({"endpoint": settings}, SP_SECRET_KEY=OLD)
        core_of(app).provider_registry.get("endpoint").keys()
    kid = core_of(app).assertions.published()[0]["kid"]
    renewed = gateway(SP_SECRET_KEY=NEW, SP_SECRET_KEY_FALLBACKS=OLD)
    for table in ("assertion_key", "key_copy"):
        assert [Vault([NEW]).decrypt(value) for value in encrypted(renewed, table)]
    alone = gateway(SP_SECRET_KEY=NEW)
    assert core_of(alone).assertions.published()[0]["kid"] == kid
    assert core_of(alone).provider_registry.get("endpoint").keys().keys  # its server is gone by now


def test_without_the_old_key_nothing_opens_and_nothing_is_lost(gateway: MakeGateway) -> None:
    gateway(PROVIDERS, SP_SECRET_KEY=OLD)
    assert try_in(gateway(SP_SECRET_KEY=LOST)) == "key_unavailable"
    assert try_in(gateway(SP_SECRET_KEY=LOST, SP_SECRET_KEY_FALLBACKS=OLD)) == 200


def test_a_start_without_fallbacks_changes_no_value(gateway: MakeGateway) -> None:
    before = encrypted(gateway(PROVIDERS, SP_SECRET_KEY=OLD), "provider_key")
    assert encrypted(gateway(SP_SECRET_KEY=OLD), "provider_key") == before


def test_a_second_start_reencrypts_nothing(gateway: MakeGateway) -> None:
    gateway(PROVIDERS, SP_SECRET_KEY=OLD)
    once = encrypted(gateway(SP_SECRET_KEY=NEW, SP_SECRET_KEY_FALLBACKS=OLD), "provider_key")
    assert encrypted(gateway(SP_SECRET_KEY=NEW, SP_SECRET_KEY_FALLBACKS=OLD), "provider_key") == once


def test_the_command_reencrypts_what_another_node_encrypted_meanwhile(gateway: MakeGateway) -> None:
    gateway(PROVIDERS, SP_SECRET_KEY=OLD)
    app = gateway(SP_SECRET_KEY=NEW, SP_SECRET_KEY_FALLBACKS=OLD)
    with core_of(app).database.engine.begin() as connection:
        connection.execute(text("UPDATE provider_key SET sealed = :old"), {"old": Vault([OLD]).encrypt(KEY)})
    done = command(app, "--json")
    assert (done.exit_code, json.loads(done.output)) == (0, {"reencrypted": 1, "before": 0, "locked": 0})
    assert json.loads(command(app, "--json").output) == {"reencrypted": 0, "before": 1, "locked": 0}


def test_the_command_says_what_no_key_opens(gateway: MakeGateway) -> None:
    gateway(PROVIDERS, SP_SECRET_KEY=OLD)
    done = command(gateway(SP_SECRET_KEY=LOST))
    assert done.exit_code == 1
    assert "1 stored keys" in done.output
    assert KEY not in done.output


def test_a_file_that_gives_the_key_again_heals_a_lost_secret_key(gateway: MakeGateway, tmp_path: Path) -> None:
    file = tmp_path / "sp.toml"
    file.write_text(f'[providers.corporate]\nkeys = ["{KEY}"]\ndeliveries = ["header"]\n')
    gateway(SP_SECRET_KEY=OLD, SP_CONFIG=str(file))
    assert try_in(gateway(SP_SECRET_KEY=LOST, SP_CONFIG=str(file))) == 200


def test_a_file_that_leaves_the_keys_to_the_database_stops_no_start(gateway: MakeGateway, tmp_path: Path) -> None:
    """Local sign-in is how an administrator mends it."""
    file = tmp_path / "sp.toml"
    file.write_text('[providers.corporate]\ndeliveries = ["header"]\n')
    app = gateway(SP_SECRET_KEY=OLD, SP_CONFIG=str(file))
    core_of(app).people.create_administrator(CAROL.email, CAROL.password)
    restarted = gateway(SP_SECRET_KEY=LOST, SP_CONFIG=str(file))
    assert try_in(restarted) == "key_unavailable"
    client = restarted.test_client()
    (form,) = forms_of(client.get("/login?no_sso"))
    data = {**form.fields.to_dict(), "email": CAROL.email, "password": CAROL.password}
    assert client.post("/login", data=data).status_code == 303


def test_cookies_that_the_old_key_signed_are_still_good(gateway: MakeGateway) -> None:
    """A pending sign-in and the session of a form survive the change, so no one is interrupted."""
    provider = {"corporate": {**PROVIDERS["corporate"], "deliveries": ["form"]}}
    before = gateway(provider, SP_SECRET_KEY=OLD)
    core_of(before).people.create_administrator(CAROL.email, CAROL.password)
    client = before.test_client()
    client.get("/sso/start?return_to=/there")
    (form,) = forms_of(client.get("/login?no_sso"))

    after = gateway(SP_SECRET_KEY=NEW, SP_SECRET_KEY_FALLBACKS=OLD).test_client()
    for cookie in (client._cookies or {}).values():  # the same browser continues
        after.set_cookie(cookie.key, cookie.value, domain="localhost")
    now = int(time.time())
    claims = {"iat": now, "exp": now + 60, "jti": "once", "email": "alice@example.com"}
    landed = after.post("/sso/login/jwt", data={"jwt": mint(claims, KEY)})
    assert landed.headers["Location"] == "/there"
    data = {**form.fields.to_dict(), "email": CAROL.email, "password": CAROL.password}
    again = after.post("/login", data=data)  # the form was signed with the old key: it is shown again, to be sent again
    (form,) = forms_of(again)
    data = {**form.fields.to_dict(), "email": CAROL.email, "password": CAROL.password}
    assert after.post("/login", data=data).status_code == 303


def test_a_session_outlives_the_change_of_the_secret_key(gateway: MakeGateway) -> None:
    client = gateway(PROVIDERS, SP_SECRET_KEY=OLD).test_client()
    now = int(time.time())
    token = mint({"iat": now, "exp": now + 60, "jti": "a", "email": "alice@example.com"}, KEY)
    granted = client.get("/sso/login/jwt", headers={"Authorization": f"Bearer {token}"}).get_json()["access_token"]
    headers = {"Authorization": f"Bearer {granted}"}
    assert gateway(SP_SECRET_KEY=NEW).test_client().get("/api/userinfo", headers=headers).status_code == 200


def test_an_encrypted_value_is_known_by_its_key() -> None:
    value = Vault([OLD]).encrypt("text")
    both = Vault([NEW, OLD])
    assert both.decrypt(value) == "text"
    assert both.can_decrypt(value)
    assert not both.is_newest(value)
    assert both.is_newest(both.reencrypt(value))
    assert not Vault([LOST]).can_decrypt(value)
    with pytest.raises(VaultLocked):
        Vault([LOST]).reencrypt(value)
