"""A refusal is logged with its provider and with what is known of the token, whatever stage it comes from."""

import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Row, select, text
from werkzeug.test import TestResponse

from lab.minting import mint
from sp.database.models import Activity
from sp.signin.verification import token_key
from sp.views.oauth import JWT_BEARER
from tests.support.gateway import core_of, make_gateway

KEY, OTHER_KEY = "the key of the corporate provider, long enough", "the key that mallory has made up, long enough"
PARTNER_KEY = "the key of the partner, which is long enough, too"
AUDIENCE = {"expected": "https://app.example", "match": True}
SETTINGS = {
    "preset": "ispring",
    "keys": [KEY],
    "unsolicited": "accept",
    "deliveries": ["query", "form", "header"],
    "audience": AUDIENCE,
    "auto_create": False,
    "mapping": {"id": "sub"},
}
LOGOUT = {"alg": "HS256", "typ": "logout+jwt"}
EMAIL = "alice@example.com"
SIGN_OUT: dict[str, Any] = {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}
UNKNOWN: Mapping[str, Any] = {"email": None, "subject": None, "token_key": None}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    partner = {**SETTINGS, "keys": [PARTNER_KEY], "auto_create": True}
    app = make_gateway(tmp_path, {"corporate": SETTINGS, "partner": partner})
    yield app
    core_of(app).database.engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    person = {"sub": "a-1", "email": EMAIL, "aud": AUDIENCE["expected"]}
    return {"iat": now, "exp": now + 60, "jti": uuid.uuid4().hex, **person, **changed}


def key_of(claims: Mapping[str, Any], provider: str = "corporate") -> bytes:
    return token_key(provider, claims["jti"])


def send(client: FlaskClient, jwt: str, provider: str = "corporate") -> TestResponse:
    return client.get(f"/sso/login/jwt/{provider}", query_string={"jwt": jwt})


def logged(app: Flask, response: TestResponse) -> Row[Any]:
    """Return the one line of the refusal, found by the reference that the browser or the client was given."""
    reference = response.json["reference"] if response.json else response.location.split("reference=")[1]
    with core_of(app).database.engine.connect() as connection:
        return connection.execute(select(Activity.__table__).where(Activity.reference == reference)).one()


def expect(row: Row[Any], code: str, provider: str | None, **known: Any) -> None:
    assert (row.event, row.code, row.provider) == ("refused", code, provider)
    assert {name: getattr(row, name) for name in UNKNOWN} == {**UNKNOWN, **known}


def test_before_the_provider_is_found_nothing_is_known(app: Flask, client: FlaskClient) -> None:
    expect(logged(app, send(client, mint(claims(), KEY), "nowhere")), "provider_unknown", None)


@pytest.mark.parametrize(
    ("change", "key", "code"),
    [
        ({}, OTHER_KEY, "signature_invalid"),
        ({"aud": "https://elsewhere.example"}, KEY, "audience_mismatch"),
        ({"exp": 1, "iat": 1}, KEY, "token_expired"),
    ],
)
def test_before_the_token_is_verified_only_the_provider_is_known(
    app: Flask, client: FlaskClient, change: dict[str, Any], key: str, code: str
) -> None:
    expect(logged(app, send(client, mint(claims(**change), key))), code, "corporate")


def test_a_request_without_a_token_is_logged_with_its_provider(app: Flask, client: FlaskClient) -> None:
    expect(logged(app, client.get("/sso/login/jwt/corporate")), "token_missing", "corporate")


def test_what_binding_refuses_is_logged_with_the_token(app: Flask, client: FlaskClient) -> None:
    foreign = claims(nonce="of-another-browser")
    known = {"email": EMAIL, "subject": "a-1", "token_key": key_of(foreign)}
    expect(logged(app, send(client, mint(foreign, KEY))), "nonce_mismatch", "corporate", **known)


def test_what_provisioning_refuses_is_logged_with_the_token(app: Flask, client: FlaskClient) -> None:
    stranger = claims()
    known = {"email": EMAIL, "subject": "a-1", "token_key": key_of(stranger)}
    expect(logged(app, send(client, mint(stranger, KEY))), "user_unknown", "corporate", **known)


def test_a_replayed_token_is_logged_with_what_it_said(app: Flask, client: FlaskClient) -> None:
    again = claims()
    known = {"email": EMAIL, "subject": "a-1", "token_key": key_of(again, "partner")}
    assert send(client, mint(again, PARTNER_KEY), "partner").location == "/"
    refused = send(app.test_client(), mint(again, PARTNER_KEY), "partner")
    expect(logged(app, refused), "token_replayed", "partner", **known)


def test_a_program_is_logged_as_a_browser_is(app: Flask, client: FlaskClient) -> None:
    stranger, forged = claims(), mint(claims(), OTHER_KEY)
    known = {"email": EMAIL, "subject": "a-1", "token_key": key_of(stranger)}
    headers = {"Authorization": f"Bearer {mint(stranger, KEY)}"}
    expect(logged(app, client.get("/sso/login/jwt/corporate", headers=headers)), "user_unknown", "corporate", **known)
    grant = {"grant_type": JWT_BEARER, "provider": "corporate"}
    answer = client.post("/sso/token", data={**grant, "assertion": mint(stranger, KEY)})
    expect(logged(app, answer), "user_unknown", "corporate", **known)
    expect(
        logged(app, client.post("/sso/token", data={**grant, "assertion": forged})), "signature_invalid", "corporate"
    )


def test_a_sign_out_is_logged_with_the_provider_that_signed_it(app: Flask, client: FlaskClient) -> None:
    def tell(told: dict[str, Any], key: str) -> TestResponse:
        return client.post("/sso/logout/backchannel", data={"logout_token": mint(told, key, LOGOUT)})

    used = claims(**SIGN_OUT)
    assert tell(used, KEY).status_code == 200
    expect(logged(app, tell(used, KEY)), "token_replayed", "corporate")
    expect(logged(app, tell(claims(**SIGN_OUT), OTHER_KEY)), "signature_invalid", None)
    without_id = claims(**SIGN_OUT)
    del without_id["jti"]
    expect(logged(app, tell(without_id, KEY)), "claim_missing", "corporate")


def test_a_database_that_fails_under_way_is_logged_with_the_provider(app: Flask, client: FlaskClient) -> None:
    with core_of(app).database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE spent_token RENAME TO elsewhere"))
    person = claims()
    known = {"email": EMAIL, "subject": "a-1", "token_key": key_of(person)}
    expect(logged(app, send(client, mint(person, KEY))), "store_unavailable", "corporate", **known)
