"""A token posted from another site over plain http: the cookie stays away, and the page names the cause."""

import time
import uuid
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from lab.minting import mint
from tests.support.gateway import make_gateway

KEY = "the shared secret of a sample, forty-eight characters long"
FOREIGN = {"Origin": "http://lms.example"}


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    provider = {"keys": [KEY], "login_url": "http://lms.example/login"}
    return make_gateway(tmp_path, {"corporate": provider}).test_client(use_cookies=False)


def post(client: FlaskClient, **headers: str) -> str:
    """Post a token for the second time within a minute, as a browser that returns no cookie; return the page."""
    for _ in range(2):
        now = int(time.time())
        jwt = mint({"iat": now, "exp": now + 60, "jti": uuid.uuid4().hex, "email": "alice@example.com"}, KEY)
        answer = client.post("/sso/login/jwt", data={"jwt": jwt}, headers=headers)
    assert "code=cookies_blocked" in answer.location
    return client.get(answer.location).text


@pytest.mark.parametrize(
    "headers", [FOREIGN, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}], ids=["another host", "null", "says so"]
)
def test_a_token_posted_from_another_site_over_http_says_that_this_needs_https_here(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    page = post(client, **headers)
    assert "this site needs https" in page
    assert "Allow cookies" not in page
    assert "did not send our cookie back" not in page


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "http://127.0.0.1:5001"}, {"Sec-Fetch-Site": "same-site", "Origin": "null"}]
)
def test_a_browser_that_blocks_cookies_is_still_told_to_allow_them(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    page = post(client, **headers)
    assert "Allow cookies" in page
    assert "this site needs https" not in page


def test_with_https_the_browser_is_what_keeps_the_cookie_back(tmp_path: Path) -> None:
    provider = {"keys": [KEY], "login_url": "https://lms.example/login"}
    app = make_gateway(tmp_path, {"corporate": provider}, SP_EXTERNAL_URL="https://gate.example")
    assert "this site needs https" not in post(app.test_client(use_cookies=False), **FOREIGN)


def test_a_missing_jti_is_not_said_to_be_a_matter_of_settings(client: FlaskClient) -> None:
    now = int(time.time())
    jwt = mint({"iat": now, "exp": now + 60, "email": "alice@example.com"}, KEY)
    page = client.get(client.get("/sso/login/jwt", query_string={"jwt": jwt}).location).text
    assert "claim_missing" in page
    assert "no longer require" not in page
