"""Read and write the cookies of the identity provider. Each is for this host only, and hidden from scripts.

Browsers share cookies between the ports of a host, so the identity provider and the gateway use different names. Flags
and prefix come from shared/cookies.py.
"""

from __future__ import annotations

from flask import Response, request

from idp.context import context
from shared.cookies import clear_cookie, full_name, set_cookie

SESSION = "idp_session"  # the signed-in browser: an opaque id
DEVICE = "idp_device"  # signed: it names the people who have signed in from this browser before
THEME = "idp_theme"  # light or dark, if a person has chosen
FORM = "idp_form"  # Flask's own signed cookie, which holds the secret of the forms


def read(name: str) -> str | None:
    """Return the cookie's value, or None if the cookie is missing.

    Also return None if the cookie was sent twice with different values, because an attacker may have planted one of
    them.
    """
    values = set(request.cookies.getlist(full_name(name, context().settings.https)))
    return values.pop() if len(values) == 1 else None


def write(response: Response, name: str, value: str, *, max_age: int | None = None) -> None:
    """Set the cookie for *max_age* seconds, or until the browser is closed if *max_age* is None."""
    https = context().settings.https
    set_cookie(response, full_name(name, https), value, https=https, max_age=max_age)


def clear(response: Response, name: str) -> None:
    """Delete the cookie."""
    https = context().settings.https
    clear_cookie(response, full_name(name, https), https=https)
