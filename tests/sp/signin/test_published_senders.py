"""What the unmodified samples of other products send is accepted under their preset (requests rebuilt from their form).

iSpring's own sample has a separate file: tests/flows/test_ispring_sample.py.
"""

import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient

from lab.minting import mint
from tests.support.gateway import URL, make_gateway
from tests.support.question import answer_of

KEY = "the shared secret of a sample, forty-eight characters long"
PROVIDERS: Mapping[str, Mapping[str, Any]] = {
    "zendesk": {"preset": "zendesk", "keys": [KEY], "unsolicited": "accept", "default": True},
    "loginradius": {"preset": "loginradius", "keys": [KEY], "unsolicited": "accept", "return_url": "/welcome"},
    "patient": {"preset": "ispring", "keys": [KEY], "unsolicited": "accept", "expiry_adjustment": 100},
    "hasty": {"preset": "ispring", "keys": [KEY], "unsolicited": "accept", "expiry_adjustment": -100},
}


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    return make_gateway(tmp_path, PROVIDERS).test_client()


def zendesk_claims(**changed: Any) -> dict[str, Any]:
    claims = {"iat": int(time.time()), "jti": str(uuid.uuid1()), "name": "Alice Liddell", "email": "alice@example.com"}
    return {name: value for name, value in {**claims, **changed}.items() if value is not None}


def post_zendesk(client: FlaskClient, claims: Mapping[str, Any]) -> str:
    """Post the hidden form of the sample, with what rides along in its query; return where that leads."""
    query = {"return_to": "/hc/articles/42", "brand_id": "360", "locale_id": "1", "timestamp": "1795309803"}
    answer = client.post("/access/jwt", query_string=query, data={"jwt": mint(claims, KEY)})
    assert answer.status_code == 303
    return str(answer.location)


def test_zendesks_form_with_a_uuid1_and_without_exp_leads_to_the_page_it_names(client: FlaskClient) -> None:
    assert post_zendesk(client, zendesk_claims()) == "/hc/articles/42"


def test_zendesks_numeric_jti_is_taken_and_spent_once(client: FlaskClient) -> None:
    claims = zendesk_claims(jti=795309803)
    assert post_zendesk(client, claims) == "/hc/articles/42"
    client.delete_cookie("sp_session")
    assert "code=token_replayed" in post_zendesk(client, claims)


def test_zendesks_token_is_refused_when_it_is_older_than_three_minutes_and_the_skew(client: FlaskClient) -> None:
    assert "code=token_too_old" in post_zendesk(client, zendesk_claims(iat=int(time.time()) - 180 - 31))


@pytest.mark.parametrize("claim", ["iat", "jti", "name", "email"])
def test_zendesks_token_is_refused_without_each_of_its_claims(client: FlaskClient, claim: str) -> None:
    assert "code=claim_missing" in post_zendesk(client, zendesk_claims(**{claim: None}))


# The bare preset: only the key and the URL of the form are set

LOGIN_URL = "https://shop.example/zendesk-sign-in"


@pytest.fixture
def bare(tmp_path: Path) -> FlaskClient:
    """A browser at a gateway whose provider has the preset zendesk, a key and a login URL, and no more."""
    return make_gateway(
        tmp_path, {"zendesk": {"preset": "zendesk", "keys": [KEY], "login_url": LOGIN_URL}}
    ).test_client()


def ask(client: FlaskClient, page: str) -> None:
    """Begin a sign-in for *page*, as opening it does."""
    location = client.get("/sso/start", query_string={"return_to": page}).location
    assert location.startswith(LOGIN_URL)
    assert parse_qs(urlsplit(location).query)["return_to"] == [URL + page]


def is_signed_in(client: FlaskClient) -> bool:
    return client.get("/account").status_code == 200


def test_zendesks_unmodified_form_signs_in_whoever_was_sent_away_for_it(bare: FlaskClient) -> None:
    ask(bare, "/hc/articles/42")
    assert post_zendesk(bare, zendesk_claims()) == "/hc/articles/42"
    assert is_signed_in(bare)


def test_zendesks_unmodified_form_that_nobody_asked_for_begins_the_sign_in_again_and_signs_in_after_a_yes(
    bare: FlaskClient,
) -> None:
    unasked = zendesk_claims()
    again = post_zendesk(bare, unasked)
    assert urlsplit(again).path == "/sso/start/zendesk"
    assert not is_signed_in(bare)
    assert bare.get(again).location.startswith(LOGIN_URL)
    assert "code=token_replayed" in post_zendesk(bare, unasked)  # it was spent, although it opened no session
    query = {"return_to": "/hc/articles/42"}
    question = bare.post("/access/jwt", query_string=query, data={"jwt": mint(zendesk_claims(), KEY)})
    assert not is_signed_in(bare)  # the form echoes no nonce, and the person did not begin here: they are asked first
    action, fields = answer_of(question.text)
    assert bare.post(action, data=fields).location == "/hc/articles/42"
    assert is_signed_in(bare)


def loginradius_claims(email: str) -> dict[str, Any]:
    now = int(time.time())
    return {"iat": now, "exp": now + 60, "jti": uuid.uuid4().hex, "id": "4711", "sub": "4711", "email": email}


def test_loginradius_finds_its_person_and_hands_out_an_access_token(client: FlaskClient) -> None:
    post_zendesk(client, zendesk_claims())  # the person exists
    client.delete_cookie("sp_session")
    token = mint(loginradius_claims("alice@example.com"), KEY)
    answer = client.get("/access/jwt/loginradius", query_string={"jwttoken": token})
    address = urlsplit(answer.location)
    assert address.path == "/welcome"
    access_token = parse_qs(address.query)["access_token"][0]
    profile = client.get("/api/userinfo", headers={"Authorization": f"Bearer {access_token}"})
    assert profile.json is not None
    assert profile.json["email"] == "alice@example.com"


def test_loginradius_sends_an_unknown_person_to_the_error_page(client: FlaskClient) -> None:
    token = mint(loginradius_claims("nobody@example.com"), KEY)
    answer = client.get("/access/jwt/loginradius", query_string={"jwttoken": token})
    address = urlsplit(answer.location)
    assert address.path == "/access/jwt/error"
    assert parse_qs(address.query)["code"] == ["user_unknown"]


def test_loginradius_error_page_is_ours_wherever_the_prefix_moves_it_and_however_often_one_comes(
    tmp_path: Path,
) -> None:
    client = make_gateway(tmp_path, PROVIDERS, SP_PREFIX="/gate").test_client()
    for _ in range(3):
        token = mint(loginradius_claims("nobody@example.com"), KEY)
        answer = client.get("/gate/access/jwt/loginradius", query_string={"jwttoken": token})
        assert urlsplit(answer.location).path == "/gate/access/jwt/error"
        assert client.get(answer.location).status_code == 403


@pytest.mark.parametrize(("provider", "ends", "code"), [("patient", -120, None), ("hasty", 60, "token_expired")])
def test_the_expiry_is_extended_or_shortened(client: FlaskClient, provider: str, ends: int, code: str | None) -> None:
    """120 seconds past its exp, the skew of 30 and 100 more let a token in; 60 before it, 100 less keep it out."""
    now = int(time.time())
    claims = {"iat": now - 150, "exp": now + ends, "jti": uuid.uuid4().hex, "email": "alice@example.com"}
    answer = client.get(f"/sso/login/jwt/{provider}", query_string={"jwt": mint(claims, KEY)})
    assert answer.status_code == 303
    assert parse_qs(urlsplit(answer.location).query).get("code") == ([code] if code else None)
