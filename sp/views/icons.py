"""Serve the images of providers' icons: to everyone if the sign-in page can show them, otherwise to administrators."""

from __future__ import annotations

from flask import Blueprint, abort, request
from werkzeug.wrappers import Response

from shared.errors import ProviderUnknown
from shared.look import image_response
from sp.current import components
from sp.providers.icon_images import image_of, version_of
from sp.providers.provider import Provider
from sp.views.people import browser_session

views = Blueprint("icons", __name__)


@views.get("/sso/icon/<name>")
def image(name: str) -> Response:
    """Return the image of a provider's icon, or 404 if there is none, or this client may not see it.

    Administrators see every icon. Other clients see it only if the sign-in page can show the provider. The query of its
    URL changes whenever the image changes.
    """
    try:
        provider = components().provider_registry.find(name).provider  # cached, because strangers may request it
    except ProviderUnknown:
        abort(404)
    found = image_of(provider.icon)
    everyone = _is_shown_to_strangers(provider)
    if found is None or not (everyone or _is_administrator()):
        abort(404)
    response = image_response(found)
    if not everyone or request.args.get("v") != version_of(found):  # another worker has just changed it
        response.headers["Cache-Control"] = "no-store"
    return response


def _is_shown_to_strangers(provider: Provider) -> bool:
    """Tell whether the sign-in page shows *provider* as a button, or selects it by the domain of an e-mail address."""
    return provider.enabled and (provider.show_on_login or bool(provider.email_domains))


def _is_administrator() -> bool:
    session = browser_session(is_use=False)
    return session is not None and session.is_admin
