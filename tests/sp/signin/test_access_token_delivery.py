"""An access token goes to the page that the provider's settings name, and to none that a sender or a link names."""

import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from lab.cast import ALICE
from lab.minting import mint
from tests.support.gateway import URL, core_of, make_gateway
from tests.support.question import answer_of

KEY = "the shared secret of this test, forty-eight characters"
APP = "https://app.example/welcome?lang=en"
BOTH = pytest.mark.parametrize("delivery", ["fragment", "query"])


def browser(folder: Path, **settings: Any) -> FlaskClient:
    provider = {"keys": [KEY], "default": True, "return_url": "/welcome", "unsolicited": "accept", **settings}
    return make_gateway(folder, {"corporate": provider}).test_client()


def token(**more: Any) -> str:
    now = int(time.time())
    return mint({"iat": now, "exp": now + 60, "jti": uuid.uuid4().hex, "email": ALICE.email, **more}, KEY)


def sign_in(client: FlaskClient, **parameters: str) -> str:
    """Bring a token, and return where that leads."""
    answer = client.get("/sso/login/jwt", query_string={"jwt": token(), **parameters})
    if answer.status_code == 200:  # "Continue as X?"
        action, fields = answer_of(answer.text)
        answer = client.post(action, data=fields)
    assert answer.status_code == 303
    assert "no-store" in answer.headers["Cache-Control"]
    return str(answer.location)


def handed_out(client: FlaskClient, location: str, delivery: str) -> str:
    """Return *location* without what was handed out with it, which must be an access token that works."""
    head, _mark, fragment = location.partition("#")
    page, _mark, query = head.partition("?")
    parameters = parse_qs(fragment if delivery == "fragment" else query)
    assert parameters["token_type"] == ["Bearer"]
    assert parameters["expires_in"] == [str(core_of(client.application).sessions.lifetime)]
    (access_token,) = parameters["access_token"]
    profile = client.application.test_client().get("/api/userinfo", headers={"Authorization": f"Bearer {access_token}"})
    assert profile.get_json()["email"] == ALICE.email
    return page if delivery == "query" else head


def sessions(client: FlaskClient) -> int:
    with core_of(client.application).database.engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM session")).scalar_one())


@BOTH
def test_the_page_of_the_settings_gets_an_access_token(tmp_path: Path, delivery: str) -> None:
    client = browser(tmp_path, access_token_delivery=delivery)
    assert handed_out(client, sign_in(client), delivery) == "/welcome"
    assert sessions(client) == 2


@BOTH
@pytest.mark.parametrize("page", ["/deep?x=1", "/welcome?x=1", "/welcome#part", f"{URL}/deep"])
def test_attack_a_page_that_the_link_names_gets_no_access_token(tmp_path: Path, delivery: str, page: str) -> None:
    client = browser(tmp_path, access_token_delivery=delivery)
    assert sign_in(client, return_to=page) == page.removeprefix(URL)
    assert sessions(client) == 1  # nor is one made


@BOTH
def test_attack_a_page_that_the_token_names_gets_no_access_token(tmp_path: Path, delivery: str) -> None:
    client = browser(tmp_path, access_token_delivery=delivery)
    assert client.get("/sso/login/jwt", query_string={"jwt": token(return_to="/deep")}).location == "/deep"


@BOTH
def test_a_page_that_was_asked_for_gets_no_access_token_and_the_one_of_the_settings_does(
    tmp_path: Path, delivery: str
) -> None:
    client = browser(
        tmp_path, access_token_delivery=delivery, unsolicited="restart", login_url="https://idp.example/login"
    )
    client.get("/sso/start?return_to=/deep")
    assert sign_in(client) == "/deep"
    client.get("/sso/start")
    assert handed_out(client, sign_in(client), delivery) == "/welcome"


@BOTH
def test_a_link_that_names_the_page_of_the_settings_changes_nothing(tmp_path: Path, delivery: str) -> None:
    client = browser(tmp_path, access_token_delivery=delivery)
    assert handed_out(client, sign_in(client, return_to=f"{URL}/welcome"), delivery) == "/welcome"


@BOTH
@pytest.mark.parametrize("unsolicited", ["accept", "restart"])
def test_a_page_on_another_site_gets_its_access_token_however_the_sign_in_began(
    tmp_path: Path, delivery: str, unsolicited: str
) -> None:
    client = browser(
        tmp_path,
        access_token_delivery=delivery,
        return_url=APP,
        unsolicited=unsolicited,
        login_url="https://idp.example/login",
    )
    if unsolicited == "restart":
        again = sign_in(client)
        assert again == "/sso/start/corporate?restarted=1"
        assert f"return_to={quote(APP, safe='')}" in client.get(again).location
    location = sign_in(client)
    assert location.startswith(APP)
    assert handed_out(client, location, delivery) in (APP, APP.partition("?")[0])


def test_without_the_setting_nothing_is_handed_out(tmp_path: Path) -> None:
    client = browser(tmp_path)
    assert sign_in(client) == "/welcome"
    assert sessions(client) == 1


@BOTH
def test_a_second_click_leads_on_without_the_access_token(tmp_path: Path, delivery: str) -> None:
    client = browser(tmp_path, access_token_delivery=delivery)
    one = token()
    assert "access_token=" in client.get("/sso/login/jwt", query_string={"jwt": one}).location
    assert client.get("/sso/login/jwt", query_string={"jwt": one}).location == "/welcome"


def test_a_provider_without_a_page_of_its_own_leads_to_the_front(tmp_path: Path) -> None:
    assert sign_in(browser(tmp_path, return_url="")) == "/"
