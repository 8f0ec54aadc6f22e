"""Read and write the cookies of the identity provider: each is for this host only, and hidden from scripts.

Browsers share cookies between the ports of a host, so both programs use different names. Flags and prefix come from
shared/cookies.py.
"""

from __future__ import annotations

from flask import Response, request

from idp.context import context
from shared.cookies import clear_cookie, full_name, set_cookie

SESSION = "idp_session"  # the signed-in browser: an opaque id
DEVICE = "idp_device"  # signed: people who have signed in from this browser before
THEME = "idp_theme"  # light or dark, if a person has chosen
FORM = "idp_form"  # Flask's own signed cookie, which holds the secret of the forms


def read(name: str) -> str | None:
    """Return the cookie's value.

    Return None if it is missing, or was sent twice with different values: one may be planted.
    """
    values = set(request.cookies.getlist(full_name(name, context().settings.https)))
    return values.pop() if len(values) == 1 else None


def write(response: Response, name: str, value: str, *, max_age: int | None = None) -> None:
    """Set the cookie, until the browser is closed or for *max_age* seconds."""
    https = context().settings.https
    set_cookie(response, full_name(name, https), value, https=https, max_age=max_age)


def clear(response: Response, name: str) -> None:
    """Delete the cookie."""
    https = context().settings.https
    clear_cookie(response, full_name(name, https), https=https)
