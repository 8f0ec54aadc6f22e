"""A service provider on PyJWT, careful but for the holes that a test plants."""

import secrets
from collections.abc import Callable
from typing import Any

import jwt
from flask import Flask, abort, redirect, request, session
from werkzeug.wrappers import Response

Claims = dict[str, Any]
REQUIRED = ["iat", "exp", "jti", "email"]


def careful(token: str, key: str, algorithm: str) -> Claims:
    """Verify as the library's documents recommend, and look at what they leave to the application."""
    check_kind(jwt.get_unverified_header(token))
    claims: Claims = jwt.decode(token, key, algorithms=[algorithm], options={"require": REQUIRED})
    return checked(claims)


def check_kind(header: Claims) -> None:
    if str(header.get("typ", "JWT")).upper() != "JWT":
        raise jwt.InvalidTokenError("a token of another kind")


def checked(claims: Claims) -> Claims:
    if not isinstance(claims["email"], str) or "@" not in claims["email"] or "events" in claims:
        raise jwt.InvalidTokenError("not a person")
    return claims


def accepts_expired(token: str, key: str, algorithm: str) -> Claims:
    check_kind(jwt.get_unverified_header(token))
    claims: Claims = jwt.decode(token, key, algorithms=[algorithm], options={"require": REQUIRED, "verify_exp": False})
    return checked(claims)


def never_verifies(token: str, _key: str, _algorithm: str) -> Claims:
    """Read the claims only, with their times."""
    check_kind(jwt.get_unverified_header(token))
    options: Any = {"require": REQUIRED, "verify_signature": False, "verify_exp": True, "verify_nbf": True}
    return checked(jwt.decode(token, options=options))


Verify = Callable[[str, str, str], Claims]


def service(key: str, verify: Verify = careful, *, algorithm: str = "HS256", forgets_jti: bool = False) -> Flask:
    """Return the service: /jwt takes tokens, / says who is signed in."""
    app = Flask(__name__)
    app.secret_key = secrets.token_bytes()
    spent: set[str] = set()

    @app.get("/jwt")
    def take() -> Response:
        try:
            claims = verify(request.args.get("jwt", ""), key, algorithm)
        except (jwt.PyJWTError, KeyError, TypeError, ValueError):
            abort(401)
        if claims["jti"] in spent:
            abort(401)
        if not forgets_jti:
            spent.add(claims["jti"])
        session["email"] = claims["email"]
        return redirect("/")

    @app.get("/")
    def home() -> str:
        return f"Signed in as {session['email']}" if "email" in session else "Please sign in"

    return app
