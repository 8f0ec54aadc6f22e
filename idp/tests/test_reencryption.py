"""A new IDP_SECRET_KEY: stored keys are re-encrypted with it, and then the old secret key can be removed."""

from __future__ import annotations

import json

import pytest
from click.testing import Result
from flask import Flask

from idp.tests.conftest import SECRET_KEY, MakeApp
from idp.tests.support import ALICE, GATE, OTHER_KEY, Browser, Clock, register, sign_out_token

NEW_KEY = "another-secret-key-of-these-tests-9876543210"
LOST_KEY = "a-third-secret-key-that-nobody-remembers-now"


@pytest.fixture
def app(app: Flask) -> Flask:
    """The program with a second service, whose sign-out requests are signed with another secret."""
    other = {**GATE, "algorithm": "ES256", "keys": [], "logout_algorithm": "HS256", "logout_keys": [OTHER_KEY]}
    register(app, tower=other)
    return app


def reencrypt(app: Flask, *options: str) -> Result:
    return app.test_cli_runner().invoke(args=["services", "reencrypt", *options])


def test_a_start_with_the_old_key_as_fallback_reencrypts_everything(app: Flask, make_app: MakeApp) -> None:
    make_app(secret_keys=(NEW_KEY, SECRET_KEY))
    without_the_old_one = make_app(secret_keys=(NEW_KEY,))
    assert json.loads(reencrypt(without_the_old_one, "--json").output) == {"reencrypted": 0, "before": 3, "locked": 0}


def test_afterwards_everybody_signs_in_and_out_without_the_old_key(app: Flask, make_app: MakeApp, clock: Clock) -> None:
    make_app(secret_keys=(NEW_KEY, SECRET_KEY))
    fresh = make_app(secret_keys=(NEW_KEY,))
    assert Browser(fresh).sign_in().status_code == 303
    assert Browser(fresh).sign_in(ALICE, "tower").status_code == 303
    assert Browser(fresh).get(f"/logout?jwt={sign_out_token(clock(), OTHER_KEY)}").status_code == 200


def test_the_command_tells_what_it_did_and_finds_nothing_more_to_do(app: Flask) -> None:
    result = reencrypt(app)
    assert result.exit_code == 0
    assert result.output.startswith("0 stored keys were re-encrypted, 3 were up to date.")


def test_without_the_old_key_the_command_says_what_is_missing_and_changes_nothing(
    app: Flask, make_app: MakeApp
) -> None:
    result = reencrypt(make_app(secret_keys=(LOST_KEY,)))
    assert result.exit_code == 1
    assert "3 keys were encrypted with an unknown key" in result.output
    assert reencrypt(make_app()).exit_code == 0


def test_without_the_old_key_people_read_that_nobody_can_sign_in_and_the_log_says_why(
    app: Flask, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    locked = make_app(secret_keys=(LOST_KEY,))
    answer = Browser(locked).get("/login-token/?service=gate")
    assert answer.status_code == 503
    assert "Sign-in is unavailable right now" in answer.text
    assert "encrypted with another secret key" in caplog.text
    assert Browser(locked).get("/readyz").status_code == 503


def test_keys_that_stand_in_a_file_are_encrypted_from_the_file_without_the_old_key(
    app: Flask, make_app: MakeApp
) -> None:
    locked = make_app(secret_keys=(LOST_KEY,))
    locked.test_cli_runner().invoke(args=["services", "remove", "tower"])
    register(locked, gate=GATE)
    assert Browser(locked).sign_in().status_code == 303
