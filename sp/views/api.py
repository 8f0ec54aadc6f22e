"""Endpoints for clients without a browser: exchange a token for an access token, use it, and revoke it.

These endpoints neither read nor set cookies, so CSRF is not possible. The session of an access token is of a separate
kind: a browser's cookie is never accepted as an access token, and an access token is never accepted as a cookie.

The first request for one of these endpoints imports `sp.views.oauth`. Importing Authlib takes longer than importing
Flask, and most gateways never need Authlib.
"""

from __future__ import annotations

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from sp.request.identity_headers import describe
from sp.sessions.store import Session

views = Blueprint("api", __name__)
NOT_FOR_CLIENTS = ("session", "is_admin", "site")


@views.before_request
def refuse_doubled_parameters() -> ResponseReturnValue | None:
    """Refuse doubled parameters (RFC 6749, section 3.2, "MUST NOT")."""
    doubled = [name for name, values in request.form.lists() if len(values) > 1]
    if doubled:
        return jsonify(error="invalid_request", error_description="a parameter is repeated"), 400
    return None


@views.post("/sso/token")
def token() -> ResponseReturnValue:
    """Exchange a sign-in token for an access token (RFC 7523, section 2.1; answers: RFC 6749, sections 5.1, 5.2)."""
    from sp.views.oauth import server

    answer: ResponseReturnValue = server.create_token_response()
    return answer


@views.post("/sso/revoke")
def revoke() -> ResponseReturnValue:
    """End the session of an access token (RFC 7009)."""
    from sp.views.oauth import Revocation, server

    answer: ResponseReturnValue = server.create_endpoint_response(Revocation.ENDPOINT_NAME)
    return answer


@views.get("/api/userinfo")
def userinfo() -> ResponseReturnValue:
    """Return the profile of the access token's person; `sub` is the ID of the account in this gateway."""
    from sp.views.oauth import protector

    session: Session = protector.acquire_token()
    profile = {name: value for name, value in describe(session).items() if name not in NOT_FOR_CLIENTS}
    return jsonify({"sub": str(session.account_id), "preferred_username": session.login, **profile})
