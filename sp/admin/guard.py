"""Protect the settings pages: administrators only, and no forms submitted by other sites.

This module checks the account and the form's origin for a whole blueprint, so that a page added later is protected too.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, g, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError, generate_csrf, validate_csrf
from werkzeug.exceptions import Forbidden
from wtforms import ValidationError

from shared.request_limits import allow_body, refuse_nul
from shared.web import answers_json, page
from sp.current import components
from sp.reloading import FileState
from sp.sessions.store import Session
from sp.views.people import browser_session

MAX_BODY = 256 * 1024  # bytes of an administrator's request: keys and tokens are pasted here
SENT_BY_PAGES = ("activity.live",)  # even while the person is away, so the idle limit ignores these requests
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def administrators_only(views: Blueprint) -> None:
    """Allow only administrators to use the pages of *views*."""

    @views.before_request
    def guard() -> ResponseReturnValue | None:
        session = browser_session(is_use=request.endpoint not in SENT_BY_PAGES)
        if session is None:
            # Redirect to the local form: it works even if single sign-on, which is configured here, does not.
            wanted = request.full_path.rstrip("?") if request.method in SAFE_METHODS else url_for("settings.index")
            return redirect(url_for("signin.login", no_sso="", return_to=wanted), 303)
        if not session.is_admin:
            if answers_json():
                raise Forbidden("This page is for administrators.")
            return page("sp/not_administrator.html", 403, session=session)
        g.administrator = session
        allow_body(MAX_BODY)
        refuse_nul()
        if request.method not in SAFE_METHODS:
            _check_form()
        return None

    @views.context_processor
    def for_templates() -> dict[str, Any]:
        return {"csrf_token": generate_csrf, "file_state": file_state()}


def file_state() -> FileState:
    """Return how the file of SP_CONFIG, as this worker saw it last, differs from the rules in force."""
    return components().reloader.state


def administrator() -> Session:
    """Return the session of the administrator who made this request."""
    found: Session = g.administrator
    return found


def _check_form() -> None:
    try:
        validate_csrf(request.form.get("csrf_token"))
    except ValidationError as error:
        raise CSRFError(error.args[0]) from error
