"""The sign-in page with its local form, and signing out."""

from __future__ import annotations

import time

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, StringField
from wtforms.validators import InputRequired, Length

from shared.errors import Rejection
from shared.keys import KeyRefused
from shared.tokens import SIGN_OUT_TYPE, sign
from shared.web import allow_form_target, new_reference, page
from sp.cookies import clear_session_cookie, set_session_cookie
from sp.core import core
from sp.providers import Provider
from sp.redirects import add_query, own_path
from sp.registry import Trusted
from sp.sessions import Session
from sp.views.people import browser_secret, browser_session, visitor

views = Blueprint("signin", __name__)
SIGN_OUT_LIFETIME = 60  # seconds
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"  # Back-Channel Logout 1.0, section 2.4


class PasswordForm(FlaskForm):  # type: ignore[misc]
    """The local sign-in: e-mail address and password."""

    email = StringField("E-mail address", [InputRequired("Enter your e-mail address."), Length(max=254)])
    password = PasswordField("Password", [InputRequired("Enter your password."), Length(max=1024)])
    return_to = HiddenField()


class SignOutForm(FlaskForm):  # type: ignore[misc]
    """Nothing but the protection against a foreign site that would sign people out."""


@views.get("/login")
def login() -> ResponseReturnValue:
    """Offer every way to sign in. With one enabled provider and nothing else asked for, go to it."""
    return_to = request.args.get("return_to", "")
    form = PasswordForm(email=request.args.get("email", ""), return_to=return_to)
    if "no_sso" in request.args or request.args.get("no_jwt") == "1":
        return page("sp/login.html", form=form, providers=[], return_to=return_to)
    try:
        enabled = [trusted.provider for trusted in core().registry.enabled()]
    except Rejection:
        enabled = []  # the local form works when everything else is broken
    if len(enabled) == 1:
        values = {"return_to": return_to} if return_to else {}
        return redirect(url_for("sso.start", provider_name=enabled[0].name, **values), 303)
    shown = [provider for provider in enabled if provider.show_on_login]
    return page("sp/login.html", form=form, providers=shown, return_to=return_to)


@views.post("/login")
def password() -> ResponseReturnValue:
    """Sign in with a local password."""
    form = PasswordForm()
    if form.validate_on_submit():
        person = core().people.authenticate(form.email.data.strip(), form.password.data)
        if person is not None:
            return_path = own_path(form.return_to.data, core().config.external_url) or "/"
            signed_in = core().sign_in.with_password(
                person.id, person.email, visitor(), reference=new_reference(), return_path=return_path
            )
            response = redirect(return_path, 303)
            set_session_cookie(response, signed_in.secret, https=core().config.https)
            return response
        form.password.errors = ["The e-mail address or the password is wrong, or the account may not sign in here."]
    return page("sp/login.html", 401, form=form, providers=[], return_to=form.return_to.data or "")


@views.get("/logout")
def ask_sign_out() -> ResponseReturnValue:
    """Ask before signing out: a link or an image of a foreign site must not do it."""
    session = browser_session()
    if session is None:
        return page("sp/signed_out.html")
    trusted = _provider_of(session)
    if trusted and trusted.provider.logout_url:
        allow_form_target(trusted.provider.logout_url)
    return page("sp/sign_out.html", form=SignOutForm(), session=session, provider=trusted and trusted.provider)


@views.post("/logout")
def sign_out() -> ResponseReturnValue:
    """End the session here, and then at the identity provider."""
    form = SignOutForm()
    session = browser_session()
    if not form.validate_on_submit():
        return page("sp/sign_out.html", 400, form=form, session=session, provider=None)
    response = redirect(url_for("signin.ask_sign_out"), 303)
    if session is not None:
        trusted = _provider_of(session)
        address = _logout_address(session, trusted) if trusted and trusted.provider.logout_url else None
        core().sessions.end(id_hash=session.id_hash)
        core().sign_in.note_sign_out(session, visitor(), reference=new_reference())
        if address:
            response.location = address
    elif browser_secret() is None:
        return response
    clear_session_cookie(response, https=core().config.https)
    return response


def _provider_of(session: Session) -> Trusted | None:
    if session.provider is None:
        return None
    try:
        return core().registry.get(session.provider)
    except Rejection:
        return None


def _logout_address(session: Session, trusted: Trusted) -> str:
    """Return the provider's logout URL with a signed sign-out token (seed: logout.php takes GET `jwt`)."""
    provider: Provider = trusted.provider
    now = int(time.time())
    claims = {
        "iss": core().config.external_url,
        "iat": now,
        "exp": now + SIGN_OUT_LIFETIME,
        "jti": new_reference() + new_reference() + new_reference(),
        "email": session.email,
        "events": {LOGOUT_EVENT: {}},
    }
    detail = core().sessions.detail(session.public_id)
    if detail is not None:
        known = {"sub": detail.claims.get("sub"), "sid": detail.provider_session}
        claims |= {name: value for name, value in known.items() if value}
    try:
        key = next((key for key in trusted.keys().keys if key.private), None)
    except (Rejection, KeyRefused):
        key = None
    if key is None:
        return provider.logout_url
    return add_query(provider.logout_url, jwt=sign(claims, key, typ=SIGN_OUT_TYPE))
