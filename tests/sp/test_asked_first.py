"""Login CSRF at an identity provider that echoes no nonce: what a person did not begin is asked about first."""

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text
from werkzeug.test import TestResponse

from sp.models import Activity
from tests.support.gateway import core_of, make_gateway
from tests.support.minting import mint
from tests.support.question import NOT_ME, answer_of

KEY = "the shared secret of a sample, forty-eight characters long"
LOGIN_URL = "https://lms.example/authentication.php"
MALLORY, ALICE = "mallory@example.com", "alice@example.com"
TOP = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    made: list[Flask] = []

    def make(**settings: Any) -> Flask:
        provider = {"preset": "ispring", "keys": [KEY], "login_url": LOGIN_URL, **settings}
        made.append(make_gateway(tmp_path, {"corporate": provider}))
        return made[-1]

    yield make
    for app in made:
        core_of(app).engine.dispose()


@pytest.fixture
def app(make: Callable[..., Flask]) -> Flask:
    return make()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def token(email: str = MALLORY, **claims: Any) -> str:
    now = int(time.time())
    return mint({"iat": now, "exp": now + 60, "jti": uuid.uuid4().hex, "email": email, **claims}, KEY)


def send(client: FlaskClient, jwt: str, **headers: str) -> TestResponse:
    return client.get("/sso/login/jwt", query_string={"jwt": jwt}, headers=headers)


def answer(client: FlaskClient, question: TestResponse, what: str = "continue") -> TestResponse:
    assert question.status_code == 200
    action, fields = answer_of(question.text, what)
    return client.post(action, data=fields)


def restarted(client: FlaskClient, email: str = MALLORY, **claims: Any) -> TestResponse:
    """Plant a token, follow the restart to the provider, and plant another one; return the answer to that."""
    again = send(client, token(email))
    assert (again.status_code, urlsplit(again.location).path) == (303, "/sso/start/corporate")
    assert client.get(again.location).location.startswith(LOGIN_URL)
    return send(client, token(email, **claims))


def who(client: FlaskClient) -> str | None:
    page = client.get("/account")
    return next((e for e in (MALLORY, ALICE) if e in page.text), None) if page.status_code == 200 else None


# --- What does not begin a sign-in ---


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Dest": "object", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Dest": "script"},
        {"Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Dest": ""},
    ],
)
def test_attack_an_image_or_a_frame_of_a_foreign_page_begins_no_sign_in(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    refused = client.get("/sso/start", headers=headers)
    assert refused.status_code == 400
    assert "Set-Cookie" not in refused.headers
    planted = send(client, token(), **TOP)
    assert urlsplit(planted.location).path == "/sso/start/corporate"
    assert who(client) is None


@pytest.mark.parametrize(
    "headers", [{}, TOP, {**TOP, "Sec-Fetch-Site": "none"}, {**TOP, "Sec-Fetch-Site": "same-origin"}]
)
def test_a_sign_in_that_a_person_began_goes_on_without_a_question(client: FlaskClient, headers: dict[str, str]) -> None:
    client.get("/sso/start?return_to=/courses/17", headers=headers)
    assert send(client, token(ALICE)).location == "/courses/17"
    assert who(client) == ALICE


# --- What is asked about ---


def test_attack_a_second_planted_token_after_a_restart_signs_nobody_in(client: FlaskClient) -> None:
    question = restarted(client)
    assert question.status_code == 200
    assert f"Continue as {MALLORY}?" in question.text
    assert "corporate" in question.text
    assert who(client) is None


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_attack_a_foreign_page_that_opens_the_sign_in_in_a_window_has_its_token_asked_about(
    client: FlaskClient, site: str
) -> None:
    client.get("/sso/start", headers={**TOP, "Sec-Fetch-Site": site})
    assert f"Continue as {MALLORY}?" in send(client, token()).text
    assert who(client) is None


def test_whoever_says_yes_is_signed_in_and_lands_on_the_page(client: FlaskClient) -> None:
    unasked = client.get("/sso/login/jwt", query_string={"jwt": token(ALICE), "return_to": "/courses/17"})
    client.get(unasked.location)
    landed = answer(client, send(client, token(ALICE)))
    assert (landed.status_code, landed.location) == (303, "/courses/17")
    assert who(client) == ALICE


def test_whoever_says_that_is_not_me_is_not_signed_in_and_the_question_is_closed(client: FlaskClient) -> None:
    question = restarted(client)
    declined = answer(client, question, NOT_ME)
    assert declined.status_code == 200
    assert "You were not signed in" in declined.text
    assert answer(client, question).status_code == 400
    assert who(client) is None


def test_a_token_with_the_nonce_of_this_browser_needs_no_question(client: FlaskClient) -> None:
    again = send(client, token(ALICE))
    nonce = client.get(again.location).location.partition("nonce=")[2].partition("&")[0]
    assert send(client, token(ALICE, nonce=nonce)).location == "/"
    assert who(client) == ALICE


def test_where_unasked_tokens_are_accepted_there_is_no_question(make: Callable[..., Flask]) -> None:
    client = make(unsolicited="accept").test_client()
    client.get("/sso/start", headers={**TOP, "Sec-Fetch-Site": "cross-site"})
    assert send(client, token(ALICE)).location == "/"


# --- The question cannot be answered by anyone else ---


def test_attack_the_answer_of_another_browser_opens_nothing_there(app: Flask) -> None:
    victim, attacker = app.test_client(), app.test_client()
    action, fields = answer_of(restarted(attacker).text)
    restarted(victim, ALICE)
    csrf = answer_of(send(victim, token(ALICE)).text)[1]["csrf_token"]
    assert victim.post(action, data={**fields, "csrf_token": csrf}).status_code == 400
    assert who(victim) is None


def test_attack_a_foreign_page_cannot_answer_the_question(client: FlaskClient) -> None:
    action, fields = answer_of(restarted(client).text)
    for csrf in ("", "made up"):
        assert client.post(action, data={**fields, "csrf_token": csrf}).status_code == 400
    assert who(client) is None


@pytest.mark.parametrize("change", [lambda text: text[:-4] + "AAAA", lambda _text: "", lambda _text: "a.b.c"])
def test_attack_an_answer_that_was_changed_opens_nothing(client: FlaskClient, change: Callable[[str], str]) -> None:
    action, fields = answer_of(restarted(client).text)
    assert client.post(action, data={**fields, "sign_in": change(fields["sign_in"])}).status_code == 400
    assert who(client) is None


def test_the_page_holds_no_token_that_could_be_sent_again(client: FlaskClient) -> None:
    send(client, token())
    client.get("/sso/start/corporate?restarted=1")
    jwt = token()
    question = send(client, jwt)
    assert jwt.split(".")[2] not in question.text
    assert jwt not in question.text
    with_token = client.post("/sso/login/jwt", data={"jwt": answer_of(question.text)[1]["sign_in"]})
    assert "code=token_malformed" in with_token.location


def test_attack_the_token_of_an_open_question_works_in_no_other_browser(app: Flask) -> None:
    client, thief = app.test_client(), app.test_client()
    client.get(send(client, token()).location)
    jwt = token(ALICE)
    assert send(client, jwt).status_code == 200
    thief.get("/sso/start")
    assert "code=token_replayed" in send(thief, jwt).location
    assert who(thief) is None


def test_a_question_is_open_for_five_minutes(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    question = restarted(client)
    later = time.time() + 301
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: later)
    closed = answer(client, question)
    assert closed.status_code == 400
    assert "has expired" in closed.text
    assert who(client) is None


# --- Refresh, back and double click end where they should ---


def test_a_refresh_of_the_question_shows_it_again(client: FlaskClient) -> None:
    client.get(send(client, token(ALICE)).location)
    jwt = token(ALICE)
    assert send(client, jwt).status_code == 200
    assert answer(client, send(client, jwt)).status_code == 303
    assert who(client) == ALICE


def test_a_double_click_and_the_back_button_end_on_the_page(client: FlaskClient) -> None:
    client.get(send(client, token(ALICE)).location)
    jwt = token(ALICE)
    question = send(client, jwt)
    assert answer(client, question).location == "/"
    assert answer(client, question).location == "/"
    assert send(client, jwt).location == "/"


def test_one_answer_opens_one_session(app: Flask, client: FlaskClient) -> None:
    question = restarted(client)
    pending = {name: client.get_cookie(name) for name in _pending_names(client)}
    assert answer(client, question).status_code == 303
    client.delete_cookie("sp_session")
    for cookie in pending.values():
        assert cookie is not None
        client.set_cookie(cookie.key, cookie.value)
    answer(client, question)
    assert who(client) is None
    with core_of(app).engine.connect() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM session")).scalar_one() == 1


def test_a_question_that_is_left_open_does_not_count_as_a_circle(client: FlaskClient) -> None:
    restarted(client)
    client.delete_cookie(*_pending_names(client))
    assert urlsplit(send(client, token()).location).path == "/sso/start/corporate"


# --- Who may not come in may not come in by an answer either ---


def test_an_account_that_is_disabled_while_the_question_is_open_stays_out(app: Flask, client: FlaskClient) -> None:
    client.get("/sso/start")
    send(client, token(ALICE))
    client.delete_cookie("sp_session")
    question = restarted(client, ALICE)
    core = core_of(app)
    person = core.people.find(ALICE)
    assert person is not None
    core.people.disable(person.id)
    assert "code=user_disabled" in answer(client, question).location


def test_a_key_that_is_withdrawn_while_the_question_is_open_vouches_for_nobody(app: Flask, client: FlaskClient) -> None:
    question = restarted(client)
    core = core_of(app)
    new = {"corporate": {"preset": "ispring", "keys": ["n" * 48], "login_url": LOGIN_URL}}
    core.providers.apply(new, actor="test")
    core.registry.forget()
    assert answer(client, question).status_code == 400
    assert who(client) is None


def test_question_and_refusal_stand_in_the_activity_log(app: Flask, client: FlaskClient) -> None:
    answer(client, restarted(client), NOT_ME)
    with core_of(app).engine.connect() as connection:
        rows = connection.execute(select(Activity.event, Activity.code).order_by(Activity.id)).all()
    assert [tuple(row) for row in rows] == [("restart", None), ("held", None), ("refused", "unsolicited")]


def _pending_names(client: FlaskClient) -> list[str]:
    return [cookie.key for cookie in (client._cookies or {}).values() if cookie.key.startswith("sp_pending_")]
