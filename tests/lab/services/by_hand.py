"""A service provider without a library, with planted holes, which can answer in several ways."""

import hmac
import json
import secrets
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from flask import Flask, jsonify, redirect, request, session
from werkzeug.wrappers import Response

Claims = dict[str, Any]
Answer = Response | tuple[str, int]


class Refused(Exception):
    """This token signs no one in."""


@dataclass(frozen=True)
class Holes:
    """What is planted."""

    expired: bool = False  # exp is not looked at
    confused: bool = False  # the header chooses the algorithm, and the public key is text
    none: bool = False  # the header may say that there is no signature
    replayed: bool = False  # jti is not remembered
    audience: bool = False  # aud is not looked at


def read(token: str, public_pem: str, holes: Holes) -> Claims:
    """Return the claims of *token*, RS256, or raise Refused."""
    try:
        first, second, third = (urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split("."))
        header, claims = json.loads(first), json.loads(second)
        message = token.rpartition(".")[0].encode()
        verify(header["alg"], message, third, public_pem, holes)
        check(header, claims, holes)
    except (ValueError, KeyError, TypeError, AttributeError, InvalidSignature, RecursionError) as error:
        raise Refused from error
    return dict(claims)


def verify(algorithm: str, message: bytes, signature: bytes, public_pem: str, holes: Holes) -> None:
    if algorithm == "none" and holes.none and not signature:
        return
    if algorithm == "HS256" and holes.confused:
        if not hmac.compare_digest(hmac.digest(public_pem.encode(), message, "sha256"), signature):
            raise Refused
        return
    if algorithm != "RS256":
        raise Refused
    key = load_pem_public_key(public_pem.encode())
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())


def check(header: Claims, claims: Claims, holes: Holes) -> None:
    now = time.time()
    if header.get("typ", "JWT") != "JWT" or "events" in claims or "crit" in header:
        raise Refused
    if claims["exp"] <= now and not holes.expired:
        raise Refused
    if claims.get("nbf", 0) > now or not claims["jti"] or "@" not in claims["email"]:
        raise Refused
    if claims.get("aud", "ours") != "ours" and not holes.audience:
        raise Refused


# --- Manners of answering ---


def redirects(claims: Claims | None) -> Answer:
    """Redirect in both cases, with a cookie in both: an error is kept in the session until it is shown."""
    if claims is None:
        session["message"] = secrets.token_urlsafe()
        return redirect("/login?error=token")
    session["email"] = claims["email"]
    return redirect("/")


def same_status(claims: Claims | None) -> Answer:
    """Answer 200 with a page in both cases."""
    if claims is None:
        return f"<h1>Error</h1><p>Reference {secrets.token_hex(8)}</p>", 200
    session["email"] = claims["email"]
    return f"<h1>Welcome, {claims['email']}</h1>", 200


def tells_json(claims: Claims | None) -> Answer:
    """Answer 200 with JSON in both cases, as some programming interfaces do."""
    if claims is None:
        return jsonify(error="token", reference=secrets.token_hex(8))
    return jsonify(access_token=secrets.token_urlsafe(), expires_in=3600)


def statuses(claims: Claims | None) -> Answer:
    """Answer with a bare status."""
    return ("", 401) if claims is None else ("", 204)


def always_welcome(_claims: Claims | None) -> Answer:
    """Tell no one anything."""
    return "<h1>Thank you</h1>", 200


Manner = Callable[[Claims | None], Answer]


def service(public_pem: str, holes: Holes = Holes(), manner: Manner = redirects) -> Flask:
    """Return the service: /token takes tokens, / says who is signed in."""
    app = Flask(__name__)
    app.secret_key = secrets.token_bytes()
    spent: set[str] = set()

    @app.route("/token", methods=["GET", "POST"])
    def take() -> Answer:
        try:
            claims = read(request.values.get("jwt", ""), public_pem, holes)
            if claims["jti"] in spent and not holes.replayed:
                raise Refused
            spent.add(claims["jti"])
        except Refused:
            return manner(None)
        return manner(claims)

    @app.get("/")
    def home() -> Answer:
        return (f"Signed in as {session['email']}", 200) if "email" in session else redirect("/login")

    @app.get("/login")
    def login() -> str:
        return f"Please sign in. {session.pop('message', '')}"

    return app
