"""A new sign-in replaces the browser's earlier session: a copy of the old cookie is no longer valid."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, event

from lab.cast import ALICE, BOB, CAROL
from sp.sessions.store import BROWSER
from tests.sp.conftest import MakeGateway
from tests.sp.sessions.test_ending_together import PROVIDER, SignedIn, sign_in, token
from tests.support.forms import Visitor
from tests.support.gateway import core_of

PASSWORD = "a password of Carol's own"


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    app = gateway({"corporate": {**PROVIDER, "access_token_delivery": "fragment"}})
    core_of(app).people.create_administrator(CAROL.email, PASSWORD)
    return app


def cookie_of(client: FlaskClient) -> str:
    cookie = client.get_cookie("sp_session")
    assert cookie is not None
    return cookie.value


def is_good(app: Flask, secret: str) -> bool:
    return core_of(app).sessions.find(secret, BROWSER) is not None


def by_a_token_of_the_same_person(alice: SignedIn) -> None:
    alice.browser.client.get("/sso/login/jwt", query_string={"jwt": token(email=ALICE.email)})


def by_a_token_of_another_person(alice: SignedIn) -> None:
    alice.browser.client.get("/sso/login/jwt", query_string={"jwt": token(email=BOB.email, sub="b-1")})


def by_a_local_password(alice: SignedIn) -> None:
    alice.browser.open("/login?no_sso")
    form = alice.browser.form("/login")
    form.fill(email=CAROL.email, password=PASSWORD)
    alice.browser.send(form, follow=False)


WAYS = (by_a_token_of_the_same_person, by_a_token_of_another_person, by_a_local_password)


@pytest.mark.parametrize("sign_in_anew", WAYS, ids=lambda way: way.__name__)
def test_attack_a_copied_cookie_is_used_after_the_browser_has_signed_in_anew(
    app: Flask, sign_in_anew: Callable[[SignedIn], None]
) -> None:
    alice = sign_in(app)
    copied = cookie_of(alice.browser.client)
    sign_in_anew(alice)
    assert cookie_of(alice.browser.client) != copied
    assert is_good(app, cookie_of(alice.browser.client))
    assert not is_good(app, copied)
    assert not alice.token_is_good()


@pytest.mark.parametrize("sign_in_anew", WAYS, ids=lambda way: way.__name__)
def test_attack_a_copied_cookie_is_used_all_the_time_while_the_browser_signs_in_anew(
    gateway: MakeGateway, sign_in_anew: Callable[[SignedIn], None]
) -> None:
    """A request just before the commit reads the session as alive, and the worker keeps that in its cache."""
    app = gateway({"corporate": {**PROVIDER, "access_token_delivery": "fragment"}}, SP_SESSION_CACHE="600")
    core_of(app).people.create_administrator(CAROL.email, PASSWORD)
    alice = sign_in(app)
    copied, used = cookie_of(alice.browser.client), list[bool]()
    assert is_good(app, copied)  # notes its use, so that the look before the commit writes nothing
    core_of(app).sessions.forget()

    @event.listens_for(core_of(app).database.engine, "commit")
    def use(connection: Connection) -> None:
        if connection.get_execution_options().get("write"):
            used.append(is_good(app, copied))

    sign_in_anew(alice)
    assert True in used
    assert not is_good(app, copied)


def test_a_sign_in_elsewhere_ends_nothing(app: Flask) -> None:
    alice = sign_in(app)
    sign_in(app)
    assert is_good(app, cookie_of(alice.browser.client))
    assert alice.token_is_good()


def test_a_sign_in_that_is_refused_ends_nothing(app: Flask) -> None:
    alice = sign_in(app)
    for bad in (token(email=ALICE.email, exp=1), token(email="no address", sub="c-1"), "no token"):
        answer = alice.browser.client.get("/sso/login/jwt", query_string={"jwt": bad})
        assert "/access/jwt/error" in answer.location
    assert is_good(app, cookie_of(alice.browser.client))


def test_attack_two_different_cookies_end_neither_session(app: Flask) -> None:
    """A neighbouring host may plant a second cookie; it must not choose whose session ends."""
    alice, other = sign_in(app), sign_in(app)
    mine, planted = cookie_of(alice.browser.client), cookie_of(other.browser.client)
    stranger = Visitor(app.test_client(use_cookies=False)).client
    header = {"Cookie": f"sp_session={mine}; sp_session={planted}"}
    answer = stranger.get("/sso/login/jwt", query_string={"jwt": token(email=ALICE.email)}, headers=header)
    assert answer.status_code == 303
    assert is_good(app, mine)
    assert is_good(app, planted)
