"""Serve the pages that need no sign-in: the list of services, our public keys, and the health checks."""

from __future__ import annotations

from flask import Blueprint, Response, g, jsonify
from flask_login import current_user

from idp.context import context
from idp.stores import database
from shared.keys import SYMMETRIC
from shared.web import page

JWKS_SECONDS = 300  # how long caches may keep our public keys; registry.SIGN_AFTER is longer

blueprint = Blueprint("front", __name__)


@blueprint.get("/")
def home() -> Response:
    """List the services that the person may open. Before sign-in, list the services that are open to everyone."""
    person = current_user.person if current_user.is_authenticated else None
    return page("idp/home.html", services=context().offered(person), person=person)


@blueprint.get("/.well-known/jwks.json")
def jwks() -> Response:
    """Publish the public keys (RFC 7517), including keys that will sign soon and keys that signed recently."""
    now = context().now()
    published = {
        jwk["kid"]: jwk
        for service in context().services.all()
        if service.algorithm not in SYMMETRIC
        for jwk in (key.public_jwk() for key in service.live_keys(now).keys)
    }
    g.cacheable_seconds = JWKS_SECONDS
    return jsonify(keys=list(published.values()))


def let_caches_keep(response: Response) -> Response:
    """Allow caches to store this answer if the view has set `cacheable_seconds`, because it has no personal data.

    Caches store no other answer, except static files (`shared.web`).
    """
    seconds = g.get("cacheable_seconds")
    if seconds is not None:
        response.headers["Cache-Control"] = f"public, max-age={seconds}"
        response.headers.pop("Vary", None)
    return response


@blueprint.get("/healthz")
def healthz() -> Response:
    """Answer 200 while the program runs."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Answer 200 if the database works, with `warnings` of what may fail soon, or 503 with what is `missing`."""
    missing = database.missing(context().services)
    if missing:
        return jsonify(status="not ready", missing=missing), 503
    warnings = database.warnings()
    return jsonify(status="ready", missing=missing, **({"warnings": warnings} if warnings else {})), 200
