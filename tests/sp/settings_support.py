"""What the tests of the settings pages share: an administrator at a browser, and a provider to be changed."""

from __future__ import annotations

from typing import Any

from flask import Flask

from lab.cast import CAROL
from sp.providers.rows import StoredProvider
from tests.support.forms import Visitor
from tests.support.gateway import core_of

KEY = "the first key of the cast, of a good length"
SECOND_KEY = "the second key of the cast, of a good length"
CORPORATE: dict[str, Any] = {
    "display_name": "Corporate",
    "default": True,
    "keys": [KEY],
    "login_url": "http://127.0.0.1:1/login-token/",
    "logout_url": "http://127.0.0.1:1/logout",
}
PAGE = "/settings/sso/jwt/provider/corporate"


def administrator_of(app: Flask) -> Visitor:
    """Return Carol, signed in."""
    core_of(app).people.create_administrator(CAROL.email, CAROL.password)
    return Visitor(app.test_client()).sign_in()


def stored(app: Flask, name: str = "corporate") -> StoredProvider:
    """Return a provider as it is kept."""
    return core_of(app).provider_editor.find(name)


def usable_keys(app: Flask, name: str = "corporate") -> list[str]:
    """Return the secrets of a provider, as a copy of the gateway with the same secret key reads them."""
    vault = core_of(app).vault
    return [vault.decrypt(key.sealed) for key in stored(app, name).keys]
