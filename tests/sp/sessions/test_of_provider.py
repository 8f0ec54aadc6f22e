"""Sessions of a provider that is disabled go on: its page says so, and offers an administrator to end them."""

import pytest
from flask import Flask

from lab.cast import ALICE, CAROL
from lab.minting import ispring_token
from sp.activity import audit
from sp.sessions.store import API, NewSession, Origin
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, KEY, PAGE, SECOND_KEY, administrator_of
from tests.support.forms import Visitor
from tests.support.gateway import core_of

END = f"{PAGE}/sessions/end"
OTHER = {**CORPORATE, "keys": [SECOND_KEY], "default": False, "unsolicited": "accept"}


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    return gateway({"corporate": {**CORPORATE, "unsolicited": "accept"}, "other": OTHER})


@pytest.fixture
def carol(app: Flask) -> Visitor:
    return administrator_of(app)


def sign_in(app: Flask, key: str = KEY, path: str = "/sso/login/jwt", email: str = ALICE.email) -> str:
    """Sign in with a token, and return the session's secret."""
    client = app.test_client()
    client.get(path, query_string={"jwt": ispring_token(key, email)})
    cookie = client.get_cookie("sp_session")
    assert cookie is not None
    return cookie.value


def test_the_page_of_a_disabled_provider_says_that_its_sessions_go_on_and_ends_them(app: Flask, carol: Visitor) -> None:
    core = core_of(app)
    mine, others = sign_in(app), sign_in(app, SECOND_KEY, "/sso/login/jwt/other", "mallory@example.com")
    carol.open(PAGE)
    assert "continues until" not in carol.text
    carol.open(f"{PAGE}/disable")
    assert "One session that it opened continues until it ends" in carol.text
    carol.send(carol.form(f"{PAGE}/disable"))
    assert "This provider is disabled, but one session that it opened continues until it ends." in carol.text
    assert core.sessions.find(mine) is not None
    carol.send(carol.form(END))
    assert "1 session ended." in carol.text
    assert "continues until" not in carol.text
    assert core.sessions.find(mine) is None
    assert core.sessions.find(others) is not None
    line = audit.recent(core.database, subject="corporate", limit=1)[0]
    assert (line.actor, line.action, line.detail) == (CAROL.email, "sessions ended", {"sessions": [1, 0]})


def test_the_administrators_own_session_by_password_stays(app: Flask, carol: Visitor) -> None:
    sign_in(app)
    carol.open(f"{PAGE}/remove")
    carol.send(carol.form(END))
    carol.open(PAGE)
    assert carol.page.status_code == 200


def test_access_tokens_of_the_provider_end_too(app: Flask, carol: Visitor) -> None:
    core = core_of(app)
    sign_in(app)
    token = NewSession.generate()
    alice = core.people.find(ALICE.email)
    assert alice is not None
    with core.database.engine.execution_options(write=True).begin() as connection:
        now = int(alice.created_at.timestamp())
        core.sessions.open(connection, token, Origin(alice.id, provider="corporate"), now=now, kind=API)
    carol.open(f"{PAGE}/remove")
    carol.send(carol.form(END))
    assert "2 sessions ended." in carol.text
    assert core.sessions.find(token.secret, API) is None


def test_attack_a_form_of_another_site_ends_no_sessions(app: Flask, carol: Visitor) -> None:
    secret = sign_in(app)
    assert carol.client.post(END).status_code == 400
    assert core_of(app).sessions.find(secret) is not None


def test_attack_a_person_who_is_not_an_administrator_ends_no_sessions(app: Flask) -> None:
    secret = sign_in(app)
    client = app.test_client()
    client.set_cookie("sp_session", secret)
    assert client.post(END).status_code in (400, 403, 404)
    assert core_of(app).sessions.find(secret) is not None
