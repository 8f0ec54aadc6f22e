"""Read and write the cookies of the identity provider: each is for this host only, and hidden from scripts.

Cookies do not respect ports, so each name is this program's own. Under https they carry the prefix `__Host-`, which
browsers accept only if Secure, for every path, and without a domain: another subdomain cannot set one.
"""

from __future__ import annotations

from flask import Response, request

from idp.context import context

SESSION = "idp_session"  # the signed-in browser: an opaque id
DEVICE = "idp_device"  # signed: people who have signed in from this browser before
FORM = "idp_form"  # Flask's own signed cookie, which holds the secret of the forms


def full_name(name: str, https: bool) -> str:
    """Return the name under which browsers know the cookie."""
    return f"__Host-{name}" if https else name


def read(name: str) -> str | None:
    """Return the cookie's value; None if there is none, or two that differ: someone may have planted the other."""
    values = set(request.cookies.getlist(full_name(name, context().settings.https)))
    return values.pop() if len(values) == 1 else None


def write(response: Response, name: str, value: str, *, max_age: int | None = None) -> None:
    """Set the cookie, until the browser is closed or for *max_age* seconds."""
    https = context().settings.https
    response.set_cookie(
        full_name(name, https), value, max_age=max_age, path="/", secure=https, httponly=True, samesite="Lax"
    )


def clear(response: Response, name: str) -> None:
    """Delete the cookie."""
    https = context().settings.https
    response.delete_cookie(full_name(name, https), path="/", secure=https, httponly=True, samesite="Lax")
