"""What the tests of the settings pages share: an administrator at a browser, and a provider to be changed."""

from __future__ import annotations

from typing import Any

from flask import Flask
from sqlalchemy import select

from lab.cast import CAROL
from shared.web import new_reference
from sp.accounts.manage import Proven
from sp.activity import record as activity
from sp.database.models import Account
from sp.providers.rows import StoredProvider
from sp.sessions.cookies import session_cookie_name
from sp.signin.opening import Opening
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
    """Return Carol with a session, which is opened as by a correct password; only the form is left out."""
    core = core_of(app)
    carol = core.people.create_administrator(CAROL.email, CAROL.password).person
    with core.database.reading() as connection:
        stored_hash = connection.execute(select(Account.password_hash).where(Account.id == carol.id)).scalar()
    assert stored_hash
    opening = Opening(activity.Visitor("127.0.0.1", "test"), new_reference())
    signed_in = core.sign_in.with_password(Proven(carol, stored_hash), opening)
    client = app.test_client()
    client.set_cookie(session_cookie_name(core.config.https), signed_in.secret, secure=core.config.https)
    return Visitor(client)


def stored(app: Flask, name: str = "corporate") -> StoredProvider:
    """Return a provider as it is kept."""
    return core_of(app).provider_editor.find(name)


def usable_keys(app: Flask, name: str = "corporate") -> list[str]:
    """Return the secrets of a provider, as a copy of the gateway with the same secret key reads them."""
    vault = core_of(app).vault
    return [vault.decrypt(key.sealed) for key in stored(app, name).keys]
