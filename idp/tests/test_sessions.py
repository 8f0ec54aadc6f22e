"""How long a session lives, and what it leaves in the database."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select

from idp import housekeeping
from idp.config import ACTIVITY_DAYS
from idp.models import AuditRow, SessionRow, db
from idp.stores import outbox
from idp.stores.directory import SqlDirectory
from idp.tests.conftest import MakeApp, add_cast
from idp.tests.support import ALICE, GATE, MALLORY, Browser, Clock, register, token_in, unverified


def is_signed_in(browser: Browser) -> bool:
    return browser.get("/login-token/?service=gate").status_code == 303


def test_an_idle_session_ends(browser: Browser, clock: Clock) -> None:
    browser.sign_in()
    clock.turn(3599)
    assert is_signed_in(browser)
    clock.turn(3599)
    assert is_signed_in(browser)
    clock.turn(3601)
    assert not is_signed_in(browser)


def test_a_busy_session_ends_at_its_absolute_limit(browser: Browser, clock: Clock) -> None:
    browser.sign_in()
    for _ in range(13):
        clock.turn(3300)
        assert is_signed_in(browser)
    clock.turn(400)
    assert not is_signed_in(browser)


def test_whoever_stays_signed_in_does_so_for_thirty_days_and_no_longer(browser: Browser, clock: Clock) -> None:
    answer = browser.sign_in(stay="y")
    assert "Max-Age=2592000" in next(c for c in answer.headers.getlist("Set-Cookie") if c.startswith("idp_session="))
    clock.turn(29 * 86_400)
    assert is_signed_in(browser)
    clock.turn(86_401)
    assert not is_signed_in(browser)


def test_otherwise_the_cookie_ends_with_the_browser(browser: Browser) -> None:
    answer = browser.sign_in()
    cookie = next(c for c in answer.headers.getlist("Set-Cookie") if c.startswith("idp_session="))
    assert "Max-Age" not in cookie
    assert "Expires" not in cookie


def test_staying_signed_in_can_be_switched_off(make_app: MakeApp) -> None:
    app = make_app(stay_signed_in=0)
    add_cast(app)
    register(app, gate=GATE)
    browser = Browser(app)
    assert "Stay signed in" not in browser.get("/login-token/?service=gate").text
    answer = browser.sign_in(stay="y")
    assert not any("Max-Age=0" in c for c in answer.headers.getlist("Set-Cookie") if c.startswith("idp_session="))
    assert is_signed_in(browser)


def test_the_database_does_not_know_the_cookie(app: Flask, browser: Browser) -> None:
    browser.sign_in()
    cookie = browser.cookie("idp_session") or ""
    with app.app_context():
        row = db.session.scalars(select(SessionRow)).one()
        assert cookie not in [str(value) for value in vars(row).values()]


def test_two_different_cookies_count_as_none(browser: Browser) -> None:
    browser.sign_in()
    cookie = browser.cookie("idp_session")
    two = f"idp_session={cookie}; idp_session=planted"
    assert browser.send_cookies("/login-token/?service=gate", two).status_code == 200
    same = f"idp_session={cookie}; idp_session={cookie}"
    assert browser.send_cookies("/login-token/?service=gate", same).status_code == 303


@pytest.mark.parametrize("value", ["", "x", "\x00", "a" * 10_000, "\xff", "a=b", '"quoted"'])
def test_a_cookie_without_a_session_is_nobody(browser: Browser, value: str) -> None:
    assert browser.send_cookies("/login-token/?service=gate", f"idp_session={value}").status_code == 200


def test_flask_logins_own_cookie_neither_signs_in_nor_disturbs(browser: Browser) -> None:
    browser.sign_in()
    browser.plant("remember_token", f"{ALICE.email}|0123456789abcdef")
    assert is_signed_in(browser)


def test_forged_forwarding_headers_change_nothing(browser: Browser) -> None:
    browser.sign_in()
    answer = browser.get("/login-token/?service=gate", **{"X-Forwarded-For": "10.0.0.1"})
    assert answer.status_code == 303


def test_a_new_password_ends_the_old_sessions(app: Flask, browser: Browser) -> None:
    browser.sign_in()
    result = app.test_cli_runner().invoke(
        args=["users", "set-password", ALICE.email, "--password-stdin"], input="another-password\n"
    )
    assert result.exit_code == 0
    assert not is_signed_in(browser)


def test_the_person_is_recognised_by_id_and_not_by_an_address_that_was_given_away(app: Flask, browser: Browser) -> None:
    from idp.models import PersonRow, writing

    browser.sign_in()
    with app.app_context(), writing() as session:
        session.delete(session.scalars(select(PersonRow).where(PersonRow.email == ALICE.email)).one())
    with app.app_context():
        SqlDirectory().add(ALICE.email, "a new person's password")
    assert not is_signed_in(browser)


def test_a_service_keeps_its_sid_through_a_session_and_gets_a_new_one_in_the_next(
    app: Flask, browser: Browser, clock: Clock
) -> None:
    first = unverified(token_in(browser.sign_in()))
    clock.turn(30)
    again = unverified(token_in(browser.get("/login-token/?service=gate")))
    other = unverified(token_in(Browser(app).sign_in()))
    assert first["sid"] == again["sid"] != other["sid"]
    assert again["auth_time"] == first["auth_time"] == again["iat"] - 30
    assert again["amr"] == ["pwd"]


def test_what_is_over_is_forgotten(app: Flask, browser: Browser, clock: Clock) -> None:
    browser.sign_in()
    clock.turn(ACTIVITY_DAYS * 86_400 + 1)
    with app.app_context():
        assert housekeeping.tidy(60)
        assert db.session.scalars(select(SessionRow)).all() == []
        assert db.session.scalars(select(AuditRow)).all() == []


def test_signing_in_anew_in_another_tab_keeps_the_services_of_the_same_person_open(
    app: Flask, browser: Browser
) -> None:
    register(app, gate={**GATE, "backchannel_logout_url": "http://127.0.0.1:9/"})
    first = unverified(token_in(browser.sign_in()))
    again = unverified(token_in(browser.sign_in()))
    assert again["sid"] == first["sid"]
    with app.app_context():
        assert outbox.due() == []  # no service needs a notice
        assert len(db.session.scalars(select(SessionRow)).all()) == 1


def test_signing_in_as_somebody_else_has_the_services_of_the_first_told(app: Flask, browser: Browser) -> None:
    register(app, gate={**GATE, "backchannel_logout_url": "http://127.0.0.1:9/"})
    first = unverified(token_in(browser.sign_in()))
    other = unverified(token_in(browser.sign_in(MALLORY)))
    assert other["sid"] != first["sid"]
    with app.app_context():
        notice = outbox.claim(outbox.due()[0])
        assert notice is not None
        assert (notice.service, notice.sid, notice.subject) == ("gate", first["sid"], first["sub"])
