"""Login CSRF at an identity provider that echoes no nonce: what a person did not begin is asked about first."""

import re
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text
from werkzeug.test import TestResponse

from lab.clock import Clock
from lab.minting import mint
from sp.activity import reading
from sp.activity.trace import Trace
from sp.components import Components
from sp.database.models import Activity
from sp.diagnosis.what_if import AccountsNow, decide_again
from sp.signin.questions import Questions
from tests.support.gateway import core_of, make_gateway, migrated_postgresql
from tests.support.question import NOT_ME, answer_of
from tests.support.stores import Redis

KEY = "the shared secret of a sample, forty-eight characters long"
LOGIN_URL = "https://lms.example/authentication.php"
MALLORY, ALICE = "mallory@example.com", "alice@example.com"
TOP = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    made: list[Flask] = []

    def make(*, url: str = "", **settings: Any) -> Flask:
        provider = {"preset": "ispring", "keys": [KEY], "login_url": LOGIN_URL, **settings}
        made.append(make_gateway(tmp_path, {"corporate": provider}, **({"SP_DATABASE_URL": url} if url else {})))
        return made[-1]

    yield make
    for app in made:
        core_of(app).database.engine.dispose()


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


def test_a_question_is_open_for_five_minutes(client: FlaskClient, clock: Clock) -> None:
    question = restarted(client)
    clock.tick(seconds=301)
    closed = answer(client, question)
    assert closed.status_code == 400
    assert "has expired" in closed.text
    assert who(client) is None


def test_the_log_has_the_age_that_the_token_had_when_it_was_checked(
    app: Flask, client: FlaskClient, clock: Clock
) -> None:
    question = restarted(client)
    clock.tick(seconds=200)
    answer(client, question)
    trace = last(app)
    assert (trace.event, trace.facts.delivery) == ("sign_in", "none")
    assert was_checked_at_once(trace)
    provider = core_of(app).provider_registry.get("corporate").provider
    again = decide_again(trace, provider, lambda _profile: AccountsNow(None, None, True))
    assert (again.before, again.after) == ("accepted", "accepted")


def test_a_refused_answer_has_the_age_that_the_token_had_when_it_was_checked(
    app: Flask, client: FlaskClient, clock: Clock
) -> None:
    answer(client, restarted(client))  # creates the account
    other = app.test_client()
    question = restarted(other)
    people = core_of(app).people
    person = people.find(MALLORY)
    assert person is not None
    people.disable(person.id, actor="test")
    clock.tick(seconds=200)
    answer(other, question)
    trace = last(app)
    assert trace.code == "user_disabled"
    assert was_checked_at_once(trace)


def last(app: Flask) -> Trace:
    return reading.latest(core_of(app).database, reading.Wanted(), 1)[0]


def was_checked_at_once(trace: Trace) -> bool:
    checks = {check.name: check.detail for check in trace.facts.checks}
    left, age = re.match(r"(\d+) s left", checks["expiry"]), re.match(r"(\d+) s; at most", checks["age"])
    assert left is not None, checks
    assert age is not None, checks
    return int(left[1]) > 50 and int(age[1]) < 10 and trace.at - trace.checked_at >= 200


def test_a_question_has_the_five_values_that_the_previous_version_reads() -> None:
    questions, values = Questions([KEY]), ["corporate", {"iat": 1}, "fingerprint", "pending", "/page"]
    text = questions._serializer.dumps(values)
    signed = questions.read(text)
    assert signed is not None
    assert [*vars(signed[0]).values()] == values
    assert questions._serializer.loads(questions.write(signed[0])) == values


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
    with core_of(app).database.engine.connect() as connection:
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
    core.provider_store.apply(new, actor="test")
    core.provider_registry.forget()
    assert answer(client, question).status_code == 400
    assert who(client) is None


def test_question_and_refusal_stand_in_the_activity_log(app: Flask, client: FlaskClient) -> None:
    answer(client, restarted(client), NOT_ME)
    with core_of(app).database.engine.connect() as connection:
        rows = connection.execute(select(Activity.event, Activity.code).order_by(Activity.id)).all()
    assert [tuple(row) for row in rows] == [("restart", None), ("held", None), ("refused", "unsolicited")]


def _pending_names(client: FlaskClient) -> list[str]:
    return [cookie.key for cookie in (client._cookies or {}).values() if cookie.key.startswith("sp_pending_")]


# --- A held token opens one session, in five minutes, and not after a sign-out ---


@pytest.fixture
def move_clock(clock: Clock) -> Callable[[int], None]:
    """Return the function that moves this process' clock on by so many seconds."""
    return lambda seconds: clock.tick(seconds=seconds)


def held_for_an_hour(app: Flask) -> tuple[FlaskClient, str, TestResponse, dict[str, str]]:
    """Return a browser that is asked about a token of an hour, the token, the question, and what it would send."""
    client = app.test_client()
    client.get(send(client, token()).location)
    kept = {name: client.get_cookie(name).value for name in _pending_names(client)}  # type: ignore[union-attr]
    jwt = token(exp=int(time.time()) + 3500, sid="S1")
    return client, jwt, send(client, jwt), kept


def put_back(client: FlaskClient, kept: dict[str, str]) -> None:
    client.delete_cookie("sp_session")
    for name, value in kept.items():
        client.set_cookie(name, value)


def count_sessions(app: Flask) -> int:
    with core_of(app).database.engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM session")).scalar_one())


@pytest.mark.parametrize("seconds", [0, 299, 605, 3400])
def test_attack_a_held_token_is_sent_again_after_its_answer_was_forgotten(
    make: Callable[..., Flask], move_clock: Callable[[int], None], seconds: int
) -> None:
    app = make(max_age=3600)
    client, jwt, question, kept = held_for_an_hour(app)
    assert answer(client, question).status_code == 303
    move_clock(seconds)
    assert core_of(app).housekeeping.clean_up()
    put_back(client, kept)
    again = send(client, jwt)
    assert again.status_code == 303  # to the page, or to the refusal: no question
    answer(client, question)
    assert who(client) is None
    assert count_sessions(app) == 1


def test_attack_a_held_token_is_sent_again_after_redis_has_forgotten_its_answer(
    tmp_path: Path, redis_server: Redis
) -> None:
    provider = {"preset": "ispring", "keys": [KEY], "login_url": LOGIN_URL, "max_age": 3600}
    app = make_gateway(tmp_path, {"corporate": provider}, SP_REPLAY_URL=redis_server.url)
    client, jwt, question, kept = held_for_an_hour(app)
    assert answer(client, question).status_code == 303
    with redis.Redis.from_url(redis_server.url) as server:
        for name in server.scan_iter("lychgate:spent:*"):
            if server.ttl(name) <= 600:
                server.delete(name)
    put_back(client, kept)
    assert "code=token_replayed" in send(client, jwt).location
    answer(client, question)
    assert who(client) is None
    assert count_sessions(app) == 1
    core_of(app).database.engine.dispose()


def test_a_held_token_whose_spending_the_store_has_lost_shows_its_question_again(tmp_path: Path) -> None:
    provider = {"preset": "ispring", "keys": [KEY], "login_url": LOGIN_URL, "max_age": 3600}
    app = make_gateway(tmp_path, {"corporate": provider})
    client, jwt, question, _kept = held_for_an_hour(app)
    with core_of(app).database.writing() as connection:
        connection.execute(text("DELETE FROM spent_token"))  # as Redis may lose it when it is killed
    again = send(client, jwt)
    assert again.status_code == 200
    assert "Continue as" in again.get_data(as_text=True)
    assert answer(client, question).status_code == 303
    assert count_sessions(app) == 1


def test_attack_a_question_is_shown_again_and_again_to_keep_it_open(
    make: Callable[..., Flask], move_clock: Callable[[int], None]
) -> None:
    app = make(max_age=3600)
    client, jwt, _question, _kept = held_for_an_hour(app)
    move_clock(200)
    question = send(client, jwt)
    assert question.status_code == 200
    move_clock(120)
    assert "code=token_replayed" in send(client, jwt).location
    assert answer(client, question).status_code == 400
    assert who(client) is None


SUBJECTS: list[dict[str, str]] = [{"email": MALLORY}, {"sid": "S1"}, {"sub": "m", "sid": "S1"}]


@pytest.mark.parametrize("named", SUBJECTS)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_attack_a_question_is_answered_after_the_provider_has_signed_the_person_out(
    request: pytest.FixtureRequest, make: Callable[..., Flask], named: dict[str, str], database: str
) -> None:
    url = migrated_postgresql(request.getfixturevalue("postgresql")) if database == "postgresql" else ""
    app = make(max_age=3600, url=url)
    client, jwt, question, _kept = held_for_an_hour(app)
    assert sign_out(app, **named).json == {"sessions_ended": 0}
    assert answer(client, question).status_code == 400
    assert "code=token_replayed" in send(client, jwt).location
    assert who(client) is None
    assert count_sessions(app) == 0


def test_the_sign_out_of_somebody_else_closes_no_question(make: Callable[..., Flask]) -> None:
    app = make(max_age=3600)
    client, _jwt, question, _kept = held_for_an_hour(app)
    for named in ({"email": ALICE}, {"sid": "S2"}, {"email": MALLORY, "sid": "S2"}):
        assert sign_out(app, **named).status_code == 200
    assert answer(client, question).status_code == 303
    assert who(client) == MALLORY


@pytest.mark.parametrize(
    "end",
    [
        lambda core, person: core.people.sign_out(person, actor="test"),
        lambda core, _person: core.provider_sessions.end("corporate", actor="test"),
        lambda core, person: (core.people.disable(person), core.people.enable(person)),
        lambda core, person: core.held.close_all_of(person),  # as "end my other sessions" does
    ],
)
def test_attack_a_question_is_answered_after_an_administrator_has_ended_the_sessions(
    app: Flask, client: FlaskClient, end: Callable[[Components, int], object]
) -> None:
    client.get("/sso/start")
    send(client, token(ALICE))
    client.delete_cookie("sp_session")
    question = restarted(client, ALICE)
    person = core_of(app).people.find(ALICE)
    assert person is not None
    end(core_of(app), person.id)
    assert answer(client, question).status_code == 400
    assert who(client) is None


def test_attack_a_question_that_was_declined_is_shown_to_the_next_person_at_the_browser(
    make: Callable[..., Flask],
) -> None:
    client, jwt, question, kept = held_for_an_hour(make(max_age=3600))
    answer(client, question, NOT_ME)
    put_back(client, kept)
    assert "code=token_replayed" in send(client, jwt).location
    assert answer(client, question).status_code == 400
    assert who(client) is None


def sign_out(app: Flask, **named: str) -> TestResponse:
    now = int(time.time())
    event: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
    claims = {"iat": now, "exp": now + 60, "jti": uuid.uuid4().hex, "events": event, **named}
    sent = mint(claims, KEY, {"typ": "logout+jwt", "alg": "HS256"})
    return app.test_client().post("/sso/logout/backchannel", data={"logout_token": sent})


# --- There is nothing to ask a person about their own account ---


def signed_in(app: Flask, email: str) -> FlaskClient:
    client = app.test_client()
    client.get("/sso/start")
    send(client, token(email))
    assert who(client) == email
    return client


def test_a_person_who_is_signed_in_is_not_asked_about_their_own_account(app: Flask) -> None:
    client = signed_in(app, ALICE)
    client.get("/sso/start?return_to=/courses/17", headers={**TOP, "Sec-Fetch-Site": "cross-site"})
    assert send(client, token(ALICE)).location == "/courses/17"
    assert restarted(client, ALICE).location == "/"
    assert who(client) == ALICE
    assert count_sessions(app) == 1


def test_attack_a_person_who_is_signed_in_is_asked_about_the_account_of_another(app: Flask) -> None:
    signed_in(app, MALLORY)
    client = signed_in(app, ALICE)
    assert f"Continue as {MALLORY}?" in restarted(client).text
    assert who(client) == ALICE


def test_attack_a_session_that_has_ended_answers_no_question(app: Flask) -> None:
    client = signed_in(app, MALLORY)
    person = core_of(app).people.find(MALLORY)
    assert person is not None
    core_of(app).people.sign_out(person.id)
    assert f"Continue as {MALLORY}?" in restarted(client).text
    assert who(client) is None


def test_a_question_that_is_open_stays_so_when_its_person_signs_in_beside_it(app: Flask, client: FlaskClient) -> None:
    client.get(send(client, token(ALICE)).location)
    jwt = token(ALICE)
    assert send(client, jwt).status_code == 200
    held_for = _pending_names(client)
    client.get("/sso/start?return_to=/here")
    send(client, token(ALICE, return_to="/here"))
    assert who(client) == ALICE
    assert held_for == _pending_names(client)
    assert answer(client, send(client, jwt)).status_code == 303
