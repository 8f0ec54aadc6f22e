"""Show the sign-in page with its local form."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from flask import Blueprint, jsonify, make_response, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, StringField
from wtforms.validators import InputRequired, Length

from shared.known_browsers import MAX_AGE
from shared.phrases import N_
from shared.throttling import TooManyAttempts
from shared.web import new_reference, page, prefers_json
from sp.current import components
from sp.providers.provider import Provider
from sp.sessions.cookies import read_device_cookie, set_device_cookie, set_session_cookie
from sp.signin.local_password import WrongPassword
from sp.signin.opening import Opening
from sp.views.opening import allow_landing, page_of_ours
from sp.views.people import presented_session, visitor

views = Blueprint("signin", __name__)
log = logging.getLogger("lychgate")
WRONG_PASSWORD = N_(
    "The e-mail address or the password is wrong. Try again, or use single sign-on: most people have no local password."
)


class PasswordForm(FlaskForm):  # type: ignore[misc]
    """The local sign-in: e-mail address and password."""

    email = StringField(
        N_("E-mail address"),
        [
            InputRequired(N_("Enter your e-mail address.")),
            Length(max=254, message=N_("This e-mail address is too long.")),
        ],
    )
    password = PasswordField(
        N_("Password"),
        [InputRequired(N_("Enter your password.")), Length(max=1024, message=N_("This password is too long."))],
    )
    return_to = HiddenField()


@views.get("/login")
def login() -> ResponseReturnValue:
    """Show every way to sign in. If only one provider is enabled, redirect to it, unless the form was requested."""
    return_to = request.args.get("return_to", "")
    form = PasswordForm(email=request.args.get("email", ""), return_to=return_to)
    if "no_sso" in request.args or request.args.get("no_jwt") == "1":
        return _login_page(form)
    enabled = _enabled_providers()
    if len(enabled) == 1:
        return redirect(url_for("sso.start", provider_name=enabled[0].name, return_to=return_to or None), 303)
    return _login_page(form, providers=enabled)


@views.post("/login")
def password() -> ResponseReturnValue:
    """Sign in with a local password."""
    form = PasswordForm()
    if not form.validate_on_submit():
        expired = "csrf_token" in form.errors
        return _login_page(form, 400, problem=N_("This form has expired. Send it again.") if expired else "")
    https = components().config.https
    email, device = form.email.data.strip(), read_device_cookie(request.environ.get("HTTP_COOKIE", ""), https=https)
    return_path = page_of_ours(form.return_to.data) or "/"
    opening = Opening(visitor(), new_reference(), return_path=return_path, replacing=presented_session())
    try:
        signed_in = components().local_sign_in.enter(email, form.password.data, opening, device=device)
    except WrongPassword:
        return _login_page(form, 401, problem=WRONG_PASSWORD)
    except TooManyAttempts as refusal:
        return _too_many(refusal)
    response = redirect(return_path, 303)
    set_session_cookie(response, signed_in.secret, https=https)
    set_device_cookie(
        response, components().local_sign_in.devices.remember(device, email), max_age=MAX_AGE, https=https
    )
    return response


def _enabled_providers() -> list[Provider]:
    """Return the enabled providers, or none after any error, so that the local form always works."""
    try:
        return [trusted.provider for trusted in components().provider_registry.enabled()]
    except Exception:
        log.exception("cannot read the providers, so the sign-in page shows the local form only")
        return []


def _login_page(
    form: PasswordForm, status: int = 200, *, providers: Sequence[Provider] = (), problem: str = ""
) -> ResponseReturnValue:
    """Show the page. *providers* are all enabled providers; some of them are not shown."""
    return_to = form.return_to.data or ""
    allow_landing(page_of_ours(return_to) or "/")
    return page(
        "sp/login.html",
        status,
        form=form,
        providers=[provider for provider in providers if provider.show_on_login],
        by_email=any(provider.email_domains for provider in providers),
        return_to=return_to,
        problem=problem,
    )


def _too_many(refusal: TooManyAttempts) -> ResponseReturnValue:
    """Answer 429: passwords are not verified for a while (RFC 6585, section 4)."""
    if prefers_json():
        body = {"error": refusal.code, "error_description": refusal.description, "reference": refusal.reference}
        answer = make_response(jsonify(body), refusal.status)
    else:
        answer = page("sp/refused.html", refusal.status, rejection=refusal, reference=refusal.reference, session=None)
    answer.headers["Retry-After"] = str(refusal.retry_after)
    return answer
