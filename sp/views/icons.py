"""Serve the images of providers' icons: to everyone, because the sign-in page shows them."""

from __future__ import annotations

from flask import Blueprint, abort
from werkzeug.wrappers import Response

from shared.look import image_response
from sp.current import components
from sp.providers.icon_images import image_of

views = Blueprint("icons", __name__)


@views.get("/sso/icon/<name>")
def image(name: str) -> Response:
    """Return the image of a provider that is shown to people. The query changes with the image."""
    shown = (item.provider for item in components().provider_store.load() if item.provider.name == name)
    found = next((image for provider in shown if (image := image_of(provider.icon)) is not None), None)
    if found is None:
        abort(404)
    return image_response(found)
