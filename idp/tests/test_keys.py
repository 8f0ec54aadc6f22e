"""Keys of services: generated, encrypted, and rotated without rejecting anyone."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from shared.keys import load_key_set, public_pem
from shared.tokens import open_signed
from sqlalchemy import select

from idp.models import ServiceKeyRow, db
from idp.stores.registry import ACCEPT_AFTER, SIGN_AFTER
from idp.tests.support import GATE, KEY, Browser, Clock, register, token_in, unverified


def rotate(app: Flask, *options: str) -> str:
    result = app.test_cli_runner().invoke(args=["keys", "rotate", "tower", *options])
    assert result.exit_code == 0, result.output
    return result.output


def published(app: Flask) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = Browser(app).get("/.well-known/jwks.json").get_json()["keys"]
    return keys


def test_a_key_that_is_not_given_is_made_and_shown_once(app: Flask) -> None:
    made = register(app, learn={**GATE, "keys": []})
    assert len(made["learn"]) >= 64
    assert register(app, learn={**GATE, "keys": []}) == {}
    shown = app.test_cli_runner().invoke(args=["services", "show", "learn", "--json"]).output
    assert made["learn"] not in shown
    assert "fingerprint" in shown


def test_keys_are_sealed_in_the_database(app: Flask) -> None:
    with app.app_context():
        sealed = db.session.scalars(select(ServiceKeyRow.sealed)).one()
    assert KEY not in sealed


def test_a_new_secret_signs_only_after_the_set_time(app: Flask, clock: Clock) -> None:
    old = register(app, tower={**GATE, "keys": []})["tower"]
    browser = Browser(app)
    browser.sign_in()
    printed = rotate(app)
    new = next(line for line in printed.splitlines() if len(line) >= 64 and " " not in line)
    both = load_key_set([new, old], "HS256")

    def signer() -> str:
        token = token_in(browser.get("/login-token/?service=tower"))
        return open_signed(token, both, "HS256").key.fingerprint

    assert signer() == both.keys[1].fingerprint
    clock.turn(SIGN_AFTER + 1)
    assert signer() == both.keys[0].fingerprint


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_public_keys_are_published_before_they_sign_and_for_a_while_after(
    app: Flask, clock: Clock, algorithm: str
) -> None:
    register(app, tower={**GATE, "algorithm": algorithm, "keys": []})

    def kid_in_use() -> str:
        return str(unverified(token_in(Browser(app).sign_in(service="tower")), 0)["kid"])

    old = kid_in_use()
    printed = rotate(app)
    assert "BEGIN PUBLIC KEY" in printed
    assert "PRIVATE" not in printed
    kids = [key["kid"] for key in published(app)]
    assert len(kids) == 2
    assert old in kids
    assert kid_in_use() == old
    clock.turn(SIGN_AFTER + 1)
    new = kid_in_use()
    assert new != old
    assert new in kids
    assert old in [key["kid"] for key in published(app)]
    clock.turn(ACCEPT_AFTER)
    assert [key["kid"] for key in published(app)] == [new]


def test_the_published_keys_hold_nothing_private(app: Flask) -> None:
    register(app, gate={**GATE, "algorithm": "RS256", "keys": []})
    assert {name for key in published(app) for name in key} == {"kty", "n", "e", "kid", "alg", "use"}


def test_keys_that_stand_in_a_file_are_rotated_in_the_file(app: Flask) -> None:
    result = app.test_cli_runner().invoke(args=["keys", "rotate", "gate"])
    assert result.exit_code == 1
    assert "services file" in result.output


def test_the_first_key_of_a_file_signs_and_all_are_accepted(app: Flask) -> None:
    new = "a-new-secret-that-the-gate-knows-already-0123456789"
    register(app, gate={**GATE, "keys": [new, KEY]})
    token = token_in(Browser(app).sign_in())
    open_signed(token, load_key_set([new], "HS256"), "HS256")


def test_another_algorithm_means_other_keys(app: Flask) -> None:
    made = register(app, gate={**GATE, "algorithm": "ES256", "keys": []})
    token = token_in(Browser(app).sign_in())
    open_signed(token, load_key_set([public_pem(made["gate"])], "ES256"), "ES256")
