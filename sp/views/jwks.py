"""Publish the gateway's public keys. Applications verify the identity assertion with them."""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from sp.current import components

JWKS_SECONDS = 300  # for caches: much shorter than the time between publishing a new key and signing with it

views = Blueprint("jwks", __name__)


@views.get("/.well-known/jwks.json")
def jwks() -> ResponseReturnValue:
    """Publish the public keys (RFC 7517)."""
    response = jsonify(keys=components().assertions.published())
    response.headers["Cache-Control"] = f"public, max-age={JWKS_SECONDS}"
    return response
