"""The gateway's session cookie: its name, how it is set, and how it is read without being fooled."""

from __future__ import annotations

from werkzeug.wrappers import Response

NAME = "sp_session"
SECURE_NAME = "__Host-sp_session"  # browsers take it over https only, from this very host, for every path
PENDING_PREFIX = "sp_pending_"
FORM_NAME = "sp_form"


def session_cookie_name(https: bool) -> str:
    """Return the cookie's name for people who come over https or not."""
    return SECURE_NAME if https else NAME


def read_session_cookie(header: str, name: str) -> str | None:
    """Return the one value of the cookie *name* in a Cookie *header*, or None.

    Two different values count as none: one of them was planted by a neighbouring host. Names are compared exactly,
    for `__Host-x ` with a space is not `__Host-x`, though some parsers say so.
    """
    if name not in header:
        return None
    prefix = name + "="
    found: str | None = None
    for part in header.split(";"):
        part = part.lstrip(" \t")
        if part.startswith(prefix):
            value = part[len(prefix) :].rstrip(" \t")
            if found is not None and found != value:
                return None
            found = value
    return found


def set_session_cookie(response: Response, secret: str, *, https: bool) -> None:
    """Give the browser its session. The cookie ends with the browser; the session's own limits are the server's."""
    response.set_cookie(session_cookie_name(https), secret, path="/", secure=https, httponly=True, samesite="Lax")


def clear_session_cookie(response: Response, *, https: bool) -> None:
    """Take the session cookie from the browser."""
    response.delete_cookie(session_cookie_name(https), path="/", secure=https, httponly=True, samesite="Lax")


def is_ours(name: str) -> bool:
    """Tell whether a cookie is the gateway's own, which no application needs to see."""
    bare = name.strip().removeprefix("__Host-")
    return bare in (NAME, FORM_NAME) or bare.startswith(PENDING_PREFIX)
