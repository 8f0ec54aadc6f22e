"""The settings of a demo show the URLs that are in force: they follow the port that the other program has today."""

from __future__ import annotations

import json

import pytest
from flask import Flask

from shared import demo
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import administrator_of
from tests.support.forms import Visitor
from tests.support.gateway import core_of

PAGE = f"/settings/sso/jwt/provider/{demo.PROVIDER}"
MOVED = "http://127.0.0.1:5999"


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    """A demo whose identity provider has another port than at the first start."""
    app = gateway(None, SP_SECRET_KEY="")
    demo.announce(core_of(app).config.instance, idp_url=MOVED)
    return app


@pytest.fixture
def carol(app: Flask) -> Visitor:
    return administrator_of(app)


def test_the_page_and_the_list_show_the_urls_that_people_are_sent_to(app: Flask, carol: Visitor) -> None:
    assert app.test_client().get("/sso/start/demo").location.startswith(f"{MOVED}/login-token/?")
    carol.open(PAGE)
    fields = carol.form(PAGE).fields
    assert (fields["login_url"], fields["logout_url"]) == (f"{MOVED}/login-token/", f"{MOVED}/logout")
    assert fields["audience-expected"] == core_of(app).config.external_url
    listed = carol.open("/settings/sso/jwt").text.partition("Latest changes")[0]
    assert f"{MOVED}/login-token/" in listed
    assert "http://127.0.0.1:5001" not in listed


def test_the_command_line_shows_them_too(app: Flask) -> None:
    shown = app.test_cli_runner().invoke(args=["providers", "show", demo.PROVIDER, "--json"])
    assert json.loads(shown.stdout)["login_url"] == f"{MOVED}/login-token/"


def test_the_page_of_a_demo_can_be_saved(app: Flask, carol: Visitor) -> None:
    carol.open(PAGE)
    carol.send(carol.form(PAGE).fill(display_name="Renamed"))
    assert "The settings of Renamed were saved." in carol.text
    assert app.test_client().get("/sso/start/demo").location.startswith(f"{MOVED}/login-token/?")
