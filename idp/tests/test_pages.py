"""Pages on which a sign-in stops: what a person can do there, and in which language the page is."""

from __future__ import annotations

import pytest
from flask import Flask

from idp.tests.support import ALICE, GATE, MALLORY, OTHER_KEY, Browser, register, words

GERMAN = {"Accept-Language": "de-AT"}


def test_the_start_page_shows_each_service_as_a_tile_with_its_initials(app: Flask, browser: Browser) -> None:
    register(app, learn={**GATE, "display_name": "Courses", "keys": [OTHER_KEY]})
    page = browser.get("/").text
    assert page.count('class="tile"') == 2
    assert 'href="/login-token/?service=learn"' in page
    assert ">C</span>Courses</a>" in page
    assert ">Tg</span>The gate</a>" in page


@pytest.mark.parametrize(("query", "status"), [("", 400), ("?service=elsewhere", 404)])
def test_a_url_without_a_known_service_lists_the_services(
    app: Flask, browser: Browser, query: str, status: int
) -> None:
    register(app, learn={**GATE, "display_name": "Courses", "keys": [OTHER_KEY]})
    answer = browser.get(f"/login-token/{query}")
    assert answer.status_code == status
    assert 'href="/login-token/?service=learn"' in answer.text


def test_attack_a_stranger_does_not_see_the_services_of_a_group(app: Flask, browser: Browser) -> None:
    register(app, inner={**GATE, "display_name": "Payroll", "groups": ["directors"], "keys": [OTHER_KEY]})
    for path in ("/", "/login-token/", "/login-token/?service=elsewhere"):
        assert "Payroll" not in browser.get(path).text


def test_an_expired_form_shows_itself_again_and_keeps_the_service_and_what_was_typed(browser: Browser) -> None:
    path = "/login-token/?service=gate&nonce=n1"
    answer = browser.post(path, csrf_token="of-another-day", email=ALICE.email, password=ALICE.password)
    assert answer.status_code == 400
    assert "This form has expired. Send it again." in words(answer)
    assert f'value="{ALICE.email}"' in answer.text
    assert ALICE.password not in answer.text


def test_attack_another_site_that_sends_the_form_signs_nobody_in(browser: Browser) -> None:
    for token in ({}, {"csrf_token": "guessed"}):
        answer = browser.post("/login-token/?service=gate", email=MALLORY.email, password=MALLORY.password, **token)
        assert answer.status_code == 400
        assert browser.cookie("idp_session") is None


@pytest.mark.parametrize(
    ("language", "heading"),
    [("de", "Bei The gate anmelden"), ("es", "Iniciar sesión en The gate"), ("fr", "Se connecter à The gate")],
)
def test_the_sign_in_form_speaks_the_language_of_the_browser(browser: Browser, language: str, heading: str) -> None:
    answer = browser.get("/login-token/?service=gate", **{"Accept-Language": language})
    assert f"<h1>{heading}</h1>" in answer.text
    assert f'<html lang="{language}"' in answer.text
    assert answer.headers["Content-Language"] == language


def test_attack_a_name_with_markup_is_text_in_every_language(app: Flask, browser: Browser) -> None:
    register(app, learn={**GATE, "display_name": "<img src=x>%(email)s", "keys": [OTHER_KEY]})
    for headers in ({}, GERMAN):
        page = browser.get("/login-token/?service=learn", **headers).text
        assert "<img src=x>" not in page
        assert "&lt;img src=x&gt;%(email)s" in page


def test_a_choice_of_the_dark_theme_needs_no_form_token(browser: Browser) -> None:
    answer = browser.post("/look/theme", theme="dark", back="/login-token/?service=gate")
    assert (answer.status_code, answer.location) == (303, "/login-token/?service=gate")
    assert 'data-theme="dark"' in browser.get("/").text
