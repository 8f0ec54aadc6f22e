"""Show the signed-in person's profile and sessions, and end sessions."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required
from flask_wtf import FlaskForm

from shared.languages import translated
from shared.phrases import N_
from shared.request_limits import refuse_nul
from shared.web import page
from sp.current import components
from sp.sessions.cookies import clear_session_cookie
from sp.views.people import browser_session

views = Blueprint("account", __name__)
views.before_request(refuse_nul)


class EndForm(FlaskForm):  # type: ignore[misc]
    """A form with only a CSRF token, so that another site cannot end sessions."""


@views.get("/account")
@login_required
def show() -> ResponseReturnValue:
    """Show the profile and the sessions of the signed-in person."""
    session = current_user.session
    sessions = components().session_finder.list_of(session.account_id)
    trusted = components().own_sign_outs.provider_of(session)
    return page(
        "sp/account.html", session=session, sessions=sessions, form=EndForm(), provider=trusted and trusted.provider
    )


@views.post("/account/sessions/<public_id>/end")
@login_required
def end(public_id: str) -> ResponseReturnValue:
    """End one of the person's own sessions."""
    if EndForm().validate_on_submit():
        mine = current_user.session
        components().sessions.end(public_id=public_id, account_id=mine.account_id)
        if browser_session() is None:
            # Do not redirect to a page that requires a sign-in: the identity provider would sign the person in again at
            # once.
            response = redirect(url_for("sign_out.ask"), 303)
            clear_session_cookie(response, https=components().config.https)
            return response
        flash(translated(N_("The session has ended.")))
    return redirect(url_for("account.show"), 303)


@views.post("/account/sessions/end-others")
@login_required
def end_others() -> ResponseReturnValue:
    """End all sessions except this one."""
    if EndForm().validate_on_submit():
        mine = current_user.session
        components().held.close_all_of(mine.account_id)  # else a yes in another browser would open a session
        for other in components().session_finder.list_of(mine.account_id):
            if other.public_id != mine.public_id:
                components().sessions.end(public_id=other.public_id, account_id=mine.account_id)
        flash(translated(N_("Your other sessions have ended.")))
    return redirect(url_for("account.show"), 303)
