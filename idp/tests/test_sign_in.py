"""Signing in, as a browser sees it."""

from __future__ import annotations

import logging
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from idp.people import DirectoryUnavailable, Person
from idp.tests.conftest import MakeApp, add_cast
from idp.tests.support import (
    ALICE,
    BOB,
    GATE,
    MALLORY,
    OTHER_KEY,
    Browser,
    Cast,
    Clock,
    register,
    token_in,
    unverified,
    words,
)


def test_the_form_leads_to_the_service_with_a_token(browser: Browser, clock: Clock) -> None:
    answer = browser.sign_in()
    assert answer.status_code == 303
    assert answer.location.startswith("https://gate.example/sso/login/jwt?jwt=")
    claims = unverified(token_in(answer))
    assert claims["email"] == ALICE.email
    assert claims["iat"] == int(clock())
    assert claims["exp"] == claims["iat"] + 60


def test_whoever_is_signed_in_gets_a_token_at_once(browser: Browser) -> None:
    first = browser.sign_in()
    second = browser.get("/login-token/?service=gate")
    assert second.status_code == 303
    assert unverified(token_in(second))["jti"] != unverified(token_in(first))["jti"]


def test_the_address_works_without_its_slash(browser: Browser) -> None:
    assert browser.get("/login-token?service=gate").status_code == 200


def test_the_service_may_be_left_out_when_there_is_one(browser: Browser) -> None:
    assert "Sign in to The gate" in words(browser.get("/login-token/"))


def test_the_service_must_be_named_when_there_are_two(app: Flask, browser: Browser) -> None:
    register(app, learn={**GATE, "preset": "ispring", "keys": [OTHER_KEY]})
    answer = browser.get("/login-token/")
    assert answer.status_code == 400
    assert "This link does not say which service you want" in words(answer)


def test_a_service_that_is_not_registered_is_refused(browser: Browser) -> None:
    browser.sign_in()
    assert browser.get("/login-token/?service=elsewhere").status_code == 404


@pytest.mark.parametrize("parameter", ["return_url", "redirect_uri", "url", "next"])
def test_no_parameter_moves_the_token_to_another_address(browser: Browser, parameter: str) -> None:
    answer = browser.sign_in(query=f"&{parameter}=https://evil.example/&return_to=https://evil.example/")
    assert urlsplit(answer.location).netloc == "gate.example"


def test_return_to_and_nonce_come_back(browser: Browser) -> None:
    answer = browser.sign_in(query="&return_to=/deep%3Fa%3D1%26b&nonce=once")
    assert parse_qs(urlsplit(answer.location).query)["return_to"] == ["/deep?a=1&b"]
    assert unverified(token_in(answer))["nonce"] == "once"


def test_a_return_to_that_cannot_stand_in_an_address_is_dropped(browser: Browser) -> None:
    answer = browser.sign_in(query="&return_to=/a%0d%0aSet-Cookie:x")
    assert "return_to" not in answer.location


def test_a_nonce_that_no_service_sends_is_refused(browser: Browser) -> None:
    assert browser.get(f"/login-token/?nonce={'n' * 256}").status_code == 400


def test_a_head_request_issues_nothing(browser: Browser) -> None:
    browser.sign_in()
    answer = browser.head("/login-token/?service=gate")
    assert answer.status_code == 200
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    "person",
    [
        Cast(ALICE.email, "a wrong password"),
        Cast("nobody@example.com", "a wrong password"),
        BOB,
        Cast(BOB.email, "a wrong password"),
        Cast("nobody\0@example.com", "a wrong password"),
    ],
)
def test_every_refusal_of_a_password_reads_the_same(browser: Browser, person: Cast) -> None:
    answer = browser.sign_in(person)
    assert answer.status_code == 401
    assert "The e-mail address or the password is wrong." in words(answer)
    assert browser.cookie("idp_session") is None
    assert browser.cookie("idp_device") is None


def test_the_address_is_compared_without_case(browser: Browser) -> None:
    answer = browser.sign_in(Cast(" ALICE@Example.com ", ALICE.password))
    assert unverified(token_in(answer))["email"] == ALICE.email


def test_a_form_of_another_site_signs_nobody_in(browser: Browser) -> None:
    answer = browser.post("/login-token/?service=gate", email=MALLORY.email, password=MALLORY.password)
    assert answer.status_code == 400
    assert browser.cookie("idp_session") is None


def test_signing_in_anew_ends_the_session_before(app: Flask, browser: Browser) -> None:
    browser.sign_in()
    first = browser.cookie("idp_session")
    answer = browser.sign_in(MALLORY)
    assert unverified(token_in(answer))["email"] == MALLORY.email
    assert browser.cookie("idp_session") != first
    stolen = Browser(app)
    stolen.plant("idp_session", first or "")
    assert stolen.get("/login-token/?service=gate").status_code == 200  # the form: the old session is over


def test_a_planted_session_id_does_not_become_a_session(browser: Browser) -> None:
    browser.plant("idp_session", "known-to-mallory")
    browser.sign_in()
    assert browser.cookie("idp_session") != "known-to-mallory"


def test_a_service_with_groups_admits_their_members_alone(app: Flask, browser: Browser) -> None:
    register(app, gate={**GATE, "groups": ["staff", "admins"]})
    assert browser.sign_in(ALICE).status_code == 303
    other = Browser(app)
    refused = other.sign_in(MALLORY)
    assert refused.status_code == 403
    assert MALLORY.email in words(refused)
    assert "Location" not in refused.headers
    assert "Sign out" in words(refused)


def test_a_person_disabled_a_moment_ago_gets_no_token(app: Flask, browser: Browser) -> None:
    browser.sign_in()
    with app.app_context():
        app.extensions["idp"].people.set_disabled(ALICE.email, True)
    assert browser.get("/login-token/?service=gate").status_code == 200  # the form


def test_answers_with_a_token_are_kept_by_nobody(browser: Browser) -> None:
    answer = browser.sign_in()
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "Cookie" in answer.vary


def test_the_form_may_lead_to_the_service_and_nowhere_else(browser: Browser) -> None:
    policy = browser.get("/login-token/?service=gate").headers["Content-Security-Policy"]
    assert "form-action 'self' https://gate.example" in policy
    assert "script-src" not in policy


def test_the_form_may_lead_to_where_the_service_itself_leads_on(app: Flask, browser: Browser) -> None:
    register(app, gate={**GATE, "leads_on_to": ["https://help.example"]})
    policy = browser.get("/login-token/?service=gate").headers["Content-Security-Policy"]
    assert "form-action 'self' https://gate.example https://help.example" in policy


def test_password_managers_find_their_fields(browser: Browser) -> None:
    page = browser.get("/login-token/?service=gate").text
    assert 'autocomplete="username"' in page
    assert 'autocomplete="current-password"' in page
    assert '<label class="form-label" for="password">' in page


def test_the_page_escapes_what_a_stranger_typed(browser: Browser) -> None:
    answer = browser.sign_in(Cast('"><script>alert(1)</script>@example.com', "a wrong password"))
    assert "<script>" not in answer.text


def test_no_log_line_has_the_token_or_the_password(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = token_in(browser.sign_in())
    assert token not in caplog.text
    assert token.split(".")[1] not in caplog.text
    assert ALICE.password not in caplog.text
    assert f"jti={unverified(token)['jti']}" in caplog.text


def test_a_typed_line_break_does_not_forge_a_log_line(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    browser.sign_in(Cast("a@b.example\nsigned_in email=alice", "a wrong password"))
    assert "\nsigned_in email=alice" not in caplog.text


def test_form_delivery_posts_to_the_service_alone(app: Flask, browser: Browser) -> None:
    register(app, desk={"preset": "zendesk", "return_url": "https://desk.example/access/jwt", "keys": [OTHER_KEY]})
    answer = browser.sign_in(service="desk", query="&return_to=https://desk.example/tickets/1")
    assert answer.status_code == 200
    assert 'action="https://desk.example/access/jwt?return_to=https%3A%2F%2Fdesk.example%2Ftickets%2F1"' in answer.text
    assert "<button" in answer.text
    assert "form-action 'self' https://desk.example;" in answer.headers["Content-Security-Policy"] + ";"
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert unverified(token_in(answer))["email"] == ALICE.email
    with browser.get("/assets/deliver.js") as script:
        assert script.status_code == 200


def test_under_https_the_cookies_belong_to_this_host_alone(make_app: MakeApp) -> None:
    app = make_app(external_url="https://idp.example")
    add_cast(app)
    register(app, gate=GATE)
    browser = Browser(app, scheme="https")
    answer = browser.sign_in()
    for cookie in answer.headers.getlist("Set-Cookie"):
        assert cookie.startswith("__Host-idp_")
        assert "Secure" in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
    assert "Strict-Transport-Security" in answer.headers


def test_a_directory_that_is_away_is_a_503_and_not_a_wrong_password(make_app: MakeApp) -> None:
    class Away:
        def find(self, email: str) -> Person | None:
            raise DirectoryUnavailable

        def authenticate(self, email: str, password: str) -> Person:
            raise DirectoryUnavailable

    app = make_app(people=Away())
    register(app, gate=GATE)
    answer = Browser(app).sign_in()
    assert answer.status_code == 503
    assert "Sign-in is unavailable right now" in words(answer)


def test_the_front_page_lists_what_the_person_may_open(app: Flask, browser: Browser) -> None:
    register(app, inner={**GATE, "display_name": "Inner court", "groups": ["staff"], "keys": [OTHER_KEY]})
    assert "Inner court" not in words(browser.get("/"))
    assert "The gate" in words(browser.get("/"))
    browser.sign_in()
    page = words(browser.get("/"))
    assert "Inner court" in page
    assert ALICE.email in page
