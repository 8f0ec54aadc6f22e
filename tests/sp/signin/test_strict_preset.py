"""The strict preset: an unsolicited token is spent and opens no session; the browser requests a new one."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from lab.cast import ALICE
from lab.minting import mint, profile_claims
from tests.support.gateway import core_of, make_gateway

KEY = "the shared secret of this test, forty-eight characters"
ISSUER, AUDIENCE = "https://idp.example", "https://gate.example"
LOGIN_URL = "https://idp.example/login-token/"
STRICT: dict[str, Any] = {
    "preset": "strict",
    "keys": [KEY],
    "login_url": LOGIN_URL,
    "issuer": {"expected": ISSUER},
    "audience": {"expected": AUDIENCE},
}


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    return make_gateway(tmp_path, {"bank": STRICT}).test_client()


def token(**more: Any) -> str:
    return mint(profile_claims(ALICE, issuer=ISSUER, audience=AUDIENCE, **more), KEY)


def bring(client: FlaskClient, unverified_token: str) -> str:
    answer = client.post("/sso/login/jwt", data={"jwt": unverified_token})
    assert answer.status_code == 303
    return str(answer.location)


def is_signed_in(client: FlaskClient) -> bool:
    return client.get("/account").status_code == 200


@pytest.mark.parametrize("claims", [{}, {"nonce": "of a sign-in that another browser has begun"}])
def test_a_token_that_nobody_asked_for_is_spent_and_the_browser_signs_in_by_asking(
    client: FlaskClient, claims: dict[str, Any]
) -> None:
    unasked = token(**claims)
    again = bring(client, unasked)
    assert urlsplit(again).path == "/sso/start/bank"
    assert not is_signed_in(client)
    with core_of(client.application).database.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM spent_token")).scalar() == 1
        assert connection.execute(text("SELECT count(*) FROM session")).scalar() == 0
    location = client.get(again).location
    assert location.startswith(LOGIN_URL)
    (nonce,) = parse_qs(urlsplit(location).query)["nonce"]
    assert bring(client, token(nonce=nonce)) == "/"
    assert is_signed_in(client)


def test_whoever_has_asked_needs_the_nonce_all_the_same(client: FlaskClient) -> None:
    client.get("/sso/start")
    assert "code=nonce_mismatch" in bring(client, token())
    assert not is_signed_in(client)
