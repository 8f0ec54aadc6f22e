"""A person may ask for what is kept about them, and for its removal."""

import json
import time
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from lab.cast import ALICE, BOB
from lab.minting import mint
from sp.activity.packing import unpack
from tests.sp.conftest import MakeGateway
from tests.support.gateway import core_of

KEY = "a secret of the cast, long enough for SHA-256"
BROWSER = "Mozilla/5.0 (of alice)"


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    """Alice has signed in, was refused once, and Bob has signed in."""
    app = gateway(
        {"corporate": {"default": True, "keys": [KEY], "deliveries": ["header"], "login_url": "http://127.0.0.1:1/"}}
    )
    send(app, ALICE.email, jti="one")
    send(app, ALICE.email.upper(), jti="one")
    send(app, BOB.email)
    app.test_cli_runner().invoke(args=["users", "disable", ALICE.email])
    return app


def send(app: Flask, email: str, **more: Any) -> None:
    now = int(time.time())
    claims = {"iat": now, "exp": now + 60, "jti": str(time.perf_counter_ns()), "email": email, **more}
    headers = {"Authorization": f"Bearer {mint(claims, KEY)}", "User-Agent": BROWSER}
    app.test_client().get("/sso/login/jwt", headers=headers)


def dump(app: Flask) -> str:
    """Return everything in the tables that can name a person."""
    with core_of(app).database.engine.connect() as connection:
        return "\n".join(
            str(tuple(row)).lower()
            for table in ("account", "identity", "session", "activity", "settings_change", "held_token")
            for row in connection.execute(text(f"SELECT * FROM {table}"))  # noqa: S608
        )


def test_what_is_kept_about_a_person_is_given_out_without_secrets(app: Flask) -> None:
    done = app.test_cli_runner().invoke(args=["users", "export", ALICE.email])
    kept = json.loads(done.stdout)
    assert kept["account"]["email"] == ALICE.email
    assert kept["account"]["created_at"].endswith("Z")
    assert [line["event"] for line in kept["activity"]] == ["sign_in", "refused"]
    assert kept["activity"][0]["user_agent"] == BROWSER
    assert kept["activity"][0]["trace"]["claims"]["email"] == ALICE.email
    assert [change["action"] for change in kept["changes"]] == ["account disabled"]
    assert {known["subject"] for known in kept["identities"]} == {ALICE.email}
    assert BOB.email not in done.stdout
    assert not {"password_hash", "id_hash", "token_key"} & set(done.stdout.replace('"', " ").split())


def test_a_rejected_token_with_a_valid_signature_that_names_the_person_is_the_persons(app: Flask) -> None:
    send(app, ALICE.email.upper(), exp=1, iat=1)
    send(app, ALICE.email, exp=1, iat=1, given_name="Alice")
    send(app, BOB.email, exp=1, iat=1)
    send(app, "other@example.com", exp=1, iat=1, sub=ALICE.email)
    kept = json.loads(app.test_cli_runner().invoke(args=["users", "export", ALICE.email]).stdout)
    assert [line["code"] for line in kept["activity"]] == [None, "token_replayed", "token_expired", "token_expired"]
    done = app.test_cli_runner().invoke(args=["users", "remove", ALICE.email, "--yes", "--json"])
    assert json.loads(done.stdout)["activity"] == 4
    with core_of(app).database.engine.connect() as connection:
        traces = connection.execute(text("SELECT trace FROM activity WHERE trace IS NOT NULL ORDER BY id")).scalars()
        named = [(unpack(trace).claims or {}).get("email") for trace in traces]
    assert named == [BOB.email, BOB.email, "other@example.com"]


def test_attack_a_forged_token_that_names_a_person_is_not_that_persons(app: Flask) -> None:
    now = int(time.time())
    forged = mint({"iat": now, "exp": now + 60, "jti": "f", "email": ALICE.email}, KEY[::-1])
    app.test_client().get("/sso/login/jwt", headers={"Authorization": f"Bearer {forged}"})
    kept = json.loads(app.test_cli_runner().invoke(args=["users", "export", ALICE.email]).stdout)
    assert "signature_invalid" not in {line["code"] for line in kept["activity"]}


def test_nothing_names_a_person_who_was_removed(app: Flask) -> None:
    done = app.test_cli_runner().invoke(args=["users", "remove", ALICE.email, "--yes", "--json"])
    assert done.exit_code == 0, done.output
    removed = json.loads(done.stdout)
    assert removed["activity"] == 2
    left = dump(app)
    assert ALICE.email.lower() not in left
    assert "removed account" in left
    assert BOB.email.lower() in left
    assert app.test_cli_runner().invoke(args=["users", "export", ALICE.email]).exit_code == 1


def test_the_lines_of_a_person_who_was_removed_still_count(app: Flask) -> None:
    app.test_cli_runner().invoke(args=["users", "remove", ALICE.email, "--yes"])
    with core_of(app).database.engine.connect() as connection:
        lines = connection.execute(text("SELECT event, code, provider FROM activity ORDER BY id")).all()
    assert [tuple(line) for line in lines] == [
        ("sign_in", None, "corporate"),
        ("refused", "token_replayed", "corporate"),
        ("sign_in", None, "corporate"),
    ]


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_removing_asks_first(app: Flask, answer: str) -> None:
    before = dump(app)
    done = app.test_cli_runner().invoke(args=["users", "remove", ALICE.email], input=answer)
    assert done.exit_code == 1
    assert "cannot be undone" in done.stderr
    assert dump(app) == before


def test_a_session_of_a_person_who_was_removed_ends_at_once(app: Flask) -> None:
    done = app.test_cli_runner().invoke(args=["users", "remove", BOB.email], input="y\n")
    assert "sessions ended: 1." in done.stdout
    assert json.loads(app.test_cli_runner().invoke(args=["users", "list", "--json"]).stdout)[0]["email"] == ALICE.email
