"""Two tokens in one request: which of them counts would be a matter of who reads first, so neither does."""

import time
import uuid
from pathlib import Path
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient

from lab.minting import mint
from tests.support.gateway import make_gateway

KEY = "the shared secret of a sample, forty-eight characters long"
ACCEPTS = {"Accept": "application/json"}


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    provider = {"keys": [KEY], "unsolicited": "accept", "deliveries": ["query", "form", "header"]}
    return make_gateway(tmp_path, {"corporate": provider}).test_client()


def token() -> str:
    now = int(time.time())
    return mint({"iat": now, "exp": now + 60, "jti": uuid.uuid4().hex, "email": "alice@example.com"}, KEY)


@pytest.mark.parametrize(
    ("query", "form", "bearer"),
    [(2, 0, 0), (0, 2, 0), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)],
    ids=["query twice", "form twice", "query and form", "query and header", "form and header", "all"],
)
@pytest.mark.parametrize("alike", [True, False], ids=["the same", "different"])
def test_attack_two_tokens_in_one_request_are_malformed_and_neither_is_spent(
    client: FlaskClient, query: int, form: int, bearer: int, alike: bool
) -> None:
    one = token()
    tokens = [one, one if alike else token(), one]
    in_query = urlencode([("jwt", tokens.pop()) for _ in range(query)])
    in_form = urlencode([("jwt", tokens.pop()) for _ in range(form)])
    headers = {**ACCEPTS, **({"Authorization": f"Bearer {tokens.pop()}"} if bearer else {})}
    refused = client.post(
        f"/sso/login/jwt?{in_query}", data=in_form, content_type="application/x-www-form-urlencoded", headers=headers
    )
    assert (refused.status_code, refused.get_json()["error"]) == (400, "token_malformed")
    assert client.get("/sso/login/jwt", query_string={"jwt": one}, headers=ACCEPTS).status_code == 200


def test_an_empty_field_beside_the_token_is_no_second_token(client: FlaskClient) -> None:
    assert client.post("/sso/login/jwt?jwt=", data={"jwt": token()}, headers=ACCEPTS).status_code == 200
    assert client.get(f"/sso/login/jwt?jwt=&jwt={token()}", headers=ACCEPTS).status_code == 200
