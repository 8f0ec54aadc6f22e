"""Identify the signed-in person, with Flask-Login on top of the gateway's sessions."""

from __future__ import annotations

from flask import Flask, Request, redirect, request, url_for
from flask_login import LoginManager, UserMixin, current_user
from werkzeug.wrappers import Response

from shared import request_ids
from shared.current import current_request
from shared.tokens import redact
from sp.activity.cleaning import cookie_names
from sp.activity.record import Visitor
from sp.current import components, current_site
from sp.sessions.cookies import read_session_cookie, session_cookie_name
from sp.sessions.store import Session, hash_id


class LoginUser(UserMixin):  # type: ignore[misc]
    """The signed-in person, in the form that Flask-Login expects."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def get_id(self) -> str:
        """Return the account's id. Flask-Login does not store it, because the gateway stores the session."""
        return str(self.session.account_id)


def install_login(app: Flask) -> None:
    """Make `current_user` and `login_required` work with our session cookie."""
    manager = LoginManager()
    # Do not call manager.init_app. It would query the database for every page, and open the session of a form at each
    # answer, for a cookie that we do not use.
    app.login_manager = manager  # type: ignore[attr-defined]
    app.jinja_env.globals["current_user"] = current_user  # queries the database only if a template uses it
    manager.session_protection = None  # its "strong" mode trusts X-Forwarded-For

    @manager.request_loader
    def load(_request: Request) -> LoginUser | None:
        session = browser_session()
        return LoginUser(session) if session else None

    @manager.unauthorized_handler
    def send_to_sign_in() -> Response:
        return redirect(url_for("sso.start", return_to=request.full_path.rstrip("?")), 303)


def browser_session(*, is_use: bool = True) -> Session | None:
    """Return the live session of this browser at the site of the request, or None. Raises StoreUnavailable.

    *is_use* is False for a request that a page sends by itself: such a request must not keep the session alive.
    """
    secret = browser_secret()
    session = components().sessions.find(secret, is_use=is_use) if secret else None
    return session if session is not None and session.site == current_site().name else None


def browser_secret() -> str | None:
    """Return the session id that this browser sent, valid or not."""
    header: str = current_request().environ.get("HTTP_COOKIE", "")
    return read_session_cookie(header, session_cookie_name(components().config.https, current_site().cookie_suffix))


def presented_session() -> bytes | None:
    """Return the hash of the session id that this browser sent, or None."""
    secret = browser_secret()
    return hash_id(secret) if secret else None


def visitor(way: str = "none") -> Visitor:
    """Return where this request comes from. *way* is how it delivered a token: "query", "form", "header" or "none".

    The result is stored. So a token in the user agent is removed, and only the names of cookies are included.
    """
    request = current_request()
    return Visitor(
        request.remote_addr or "",
        redact(request.user_agent.string),
        way,
        cookie_names(request.cookies),
        request_ids.current() or None,
    )
