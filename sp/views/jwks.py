"""Publish the gateway's public keys, with which applications verify the identity assertion."""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from sp.current import components

JWKS_SECONDS = 300  # caches may keep it; much less than the time for which a new key is published before it signs

views = Blueprint("jwks", __name__)


@views.get("/.well-known/jwks.json")
def jwks() -> ResponseReturnValue:
    """Publish the public keys (RFC 7517)."""
    response = jsonify(keys=components().assertions.published())
    response.headers["Cache-Control"] = f"public, max-age={JWKS_SECONDS}"
    return response
