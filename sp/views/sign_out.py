"""Sign people out, if they ask for it, or if an identity provider asks, through the browser or server to server.

The two endpoints for providers accept only a sign-out token, and never start a sign-in. The endpoint that is called
through the browser ends only the session of that browser, with its access token and its sessions at further sites, and
only if the sign-out token names the person of that session.
"""

from __future__ import annotations

from flask import Blueprint, jsonify, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm

from shared.errors import (
    Rejection,
    TokenReplayed,
)
from shared.web import allow_form_target, new_reference, page
from sp.current import components, current_site
from sp.sessions.cookies import clear_session_cookie
from sp.sessions.store import hash_id
from sp.views.opening import page_of_ours
from sp.views.people import browser_secret, browser_session, visitor
from sp.views.refusals import write_down

views = Blueprint("sign_out", __name__)


class SignOutForm(FlaskForm):  # type: ignore[misc]
    """A form with only a CSRF token, so that another site cannot sign people out."""


@views.get("/logout")
def ask() -> ResponseReturnValue:
    """Ask for confirmation, because a link or an image on another site must not sign people out."""
    session, site = browser_session(), current_site()
    if session is None and not site.is_home:  # perhaps there is still a session at home, and so at every site
        home = components().rulebook.current.home.url
        return redirect(f"{home}{url_for('sign_out.ask', return_to=f'{site.url}/')}", 303)
    if session is None:
        return page("sp/signed_out.html", return_to=page_of_ours(request.args.get("return_to")))
    trusted = components().own_sign_outs.provider_of(session)
    if trusted and trusted.provider.logout_url:
        allow_form_target(trusted.provider.logout_url)
    return page("sp/sign_out.html", form=SignOutForm(), session=session, provider=trusted and trusted.provider)


@views.post("/logout")
def end() -> ResponseReturnValue:
    """End the session here and then at the identity provider."""
    form = SignOutForm()
    secret, session = browser_secret(), browser_session()
    if not form.validate_on_submit():
        return page("sp/sign_out.html", 400, form=form, session=session, provider=None)
    response = redirect(url_for("sign_out.ask"), 303)
    if secret is None:
        return response
    onward = components().own_sign_outs.end(secret, session, visitor(), reference=new_reference())
    response.location = onward or response.location
    clear_session_cookie(response, https=components().config.https, suffix=current_site().cookie_suffix)
    components().landings.forget(response)  # so that signing in again at once does not look like a redirect loop
    return response


@views.post("/sso/logout/backchannel")
def back_channel() -> ResponseReturnValue:
    """End sessions as the provider requests, and return how many (OpenID Connect Back-Channel Logout 1.0, 2.5 to 2.8).

    If the number is 0, the provider can tell the person that they may still be signed in here.
    """
    try:
        tokens = request.form.getlist("logout_token")
        ended = components().sign_outs.back_channel(tokens, visitor("form"), reference=new_reference())
    except Rejection as rejection:
        reference = write_down(rejection)
        body = {"error": rejection.code, "error_description": rejection.description, "reference": reference}
        return jsonify(body), 400
    return jsonify(sessions_ended=ended), 200


@views.get("/sso/logout/jwt")
def front_channel() -> ResponseReturnValue:
    """End this browser's session if it belongs to the person in the token, and show what happened."""
    if request.method == "HEAD":
        return "", 200  # link previews and mail scanners spend no token
    secret, session = browser_secret(), browser_session()
    try:
        only = hash_id(secret) if secret else b""  # even if the session has expired: its access token may be in use
        tokens = request.args.getlist("jwt")
        ended = components().sign_outs.front_channel(tokens, visitor("query"), reference=new_reference(), only=only)
    except TokenReplayed as rejection:
        if session is not None:
            return _refused(rejection)
        ended = 0  # the page was reloaded
    except Rejection as rejection:
        return _refused(rejection)
    if session is not None and not ended:
        return page("sp/sign_out_of_other.html", session=session)
    response = page("sp/signed_out.html", return_to=None)
    if secret is not None:
        clear_session_cookie(response, https=components().config.https)
    return response


def _refused(rejection: Rejection) -> ResponseReturnValue:
    return page(
        "sp/sign_out_refused.html",
        rejection.status,
        rejection=rejection,
        reference=write_down(rejection),
    )
