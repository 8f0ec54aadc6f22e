"""The look of a page: whose name it shows, light or dark, and how a person chooses."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask, render_template_string
from flask.testing import FlaskClient

from lab.programs import ROOT
from shared import web
from shared.branding import OURS, Branding
from shared.images import Logo
from shared.look import MAX_PATH, is_own_path

PAGE = '{% extends "ui/base.html" %}{% block title %}A page{% endblock %}{% block content %}{{ body }}{% endblock %}'
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"
NOON = datetime(2026, 11, 26, 12, 0, 0, tzinfo=UTC)


def visitor(branding: Branding = OURS, body: Any = "", *, https: bool = False) -> FlaskClient:
    """Return a browser of a site with that branding; each of its paths shows *body*."""
    app = Flask("site", static_folder=None)
    app.config["SECRET_KEY"] = "nothing-is-signed-here"
    web.install(app, prefix="/own", https=https, branding=branding, theme_cookie="site_theme")

    @app.get("/")
    @app.get("/<path:path>")
    def show(path: str = "") -> str:
        with_times = "{% extends 'ui/base.html' %}{% block content %}{{ body|when }}{% endblock %}"
        return render_template_string(with_times if isinstance(body, datetime) else PAGE, body=body)

    return app.test_client()


def test_a_page_shows_the_operators_name_logo_and_links() -> None:
    branding = Branding(
        "Acme <1>", Logo(b"<svg/>", "image/svg+xml"), "#aa0033", "mailto:help@acme.example", "https://acme.example/p"
    )
    browser = visitor(branding)
    page = browser.get("/").text
    assert "Acme &lt;1&gt;" in page
    assert "Lychgate" not in page
    assert 'href="mailto:help@acme.example"' in page
    assert 'href="https://acme.example/p"' in page
    assert "/own/look/logo?v=" in page
    assert "/own/look/colours.css?v=aa0033" in page
    assert "#aa0033" in browser.get("/own/look/colours.css?v=aa0033").text


def test_attack_a_script_in_a_logo_does_not_run_when_its_url_is_opened() -> None:
    answer = visitor(Branding(logo=Logo(b"<svg><script/></svg>", "image/svg+xml"))).get("/own/look/logo")
    assert answer.content_type.startswith("image/svg+xml")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer.headers["Content-Security-Policy"].endswith("sandbox")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_without_a_choice_the_browser_decides() -> None:
    page = visitor().get("/").text
    assert "data-theme" not in page
    assert '<meta name="color-scheme" content="light dark">' in page
    assert 'value="auto" aria-pressed="true"' in page


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_chosen_theme_stays_and_the_browser_returns_to_its_page(theme: str) -> None:
    browser = visitor()
    answer = browser.post("/own/look/theme", data={"theme": theme, "back": "/reports?month=11"})
    assert (answer.status_code, answer.location) == (303, "/reports?month=11")
    page = browser.get("/reports").text
    assert f'data-theme="{theme}"' in page
    assert f'value="{theme}" aria-pressed="true"' in page
    browser.post("/own/look/theme", data={"theme": "auto", "back": "/"})
    assert "data-theme" not in browser.get("/").text


@pytest.mark.parametrize("value", ["blue", '"><script>', "dark" * 1000, ""])
def test_attack_a_planted_theme_counts_as_no_choice(value: str) -> None:
    browser = visitor()
    browser.set_cookie("site_theme", value)
    assert "data-theme" not in browser.get("/").text


@pytest.mark.parametrize(
    "back",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "/a//b", "/./x", "/a b", "", "/\r\nX: y", "x"],
)
def test_attack_the_choice_of_a_theme_leads_to_no_other_site(back: str) -> None:
    assert visitor().post("/own/look/theme", data={"theme": "dark", "back": back}).location == "/"


def test_attack_another_site_cannot_choose_the_theme() -> None:
    answer = visitor().post("/own/look/theme", data={"theme": "dark"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert "Set-Cookie" not in answer.headers


def test_a_long_path_is_not_returned_to() -> None:
    assert not is_own_path("/" + "a" * MAX_PATH)


def test_attack_a_token_in_the_url_is_not_repeated_in_the_page() -> None:
    page = visitor().get(f"/sso/login?jwt={TOKEN}&x=1").text
    assert TOKEN not in page
    assert 'name="back" value="/sso/login"' in page


def test_the_page_to_return_to_keeps_its_query() -> None:
    assert (
        'name="back" value="/login-token/?service=gate&amp;nonce=n"'
        in visitor().get("/login-token/?service=gate&nonce=n").text
    )


def test_over_https_the_cookie_is_for_this_host_only() -> None:
    cookie = visitor(https=True).post("/own/look/theme", data={"theme": "dark"}).headers["Set-Cookie"]
    assert cookie.startswith("__Host-site_theme=dark;")
    assert "Secure" in cookie


def test_a_time_is_in_utc_and_a_script_shows_it_in_the_readers_zone() -> None:
    answer = visitor(body=NOON).get("/")
    assert '<time datetime="2026-11-26T12:00:00Z">2026-11-26 12:00:00 UTC</time>' in answer.text
    assert "/own/static/times.js" in answer.text
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


def test_a_page_without_times_runs_no_script() -> None:
    answer = visitor().get("/")
    assert "<script" not in answer.text
    assert "script-src" not in answer.headers["Content-Security-Policy"]


def test_every_colour_that_the_stylesheet_uses_is_defined_there() -> None:
    """A browser draws a shape whose colour is not defined in black."""
    css = (ROOT / "shared/static/lychgate.css").read_text()
    defined = set(re.findall(r"(--[a-z0-9-]+)\s*:", css))
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", css))
    assert {name for name in used - defined if not name.startswith("--bs-")} == set()


def test_a_page_that_answers_a_form_has_no_buttons_that_leave_it() -> None:
    """Such a page may show a key that is shown only once."""
    browser = visitor()
    browser.application.add_url_rule("/sent", "sent", lambda: render_template_string(PAGE), methods=["POST"])
    assert 'class="themes"' in browser.get("/").text
    assert 'class="themes"' not in browser.post("/sent").text
