"""Name cookies and set their flags. Only this module writes Set-Cookie headers, with two exceptions.

Every cookie of the gateway and the identity provider is hidden from scripts (HttpOnly). Browsers send it only to this
host, for every path. Under https the cookie is Secure, and its name begins with `__Host-`. Browsers accept such a name
only if the cookie is Secure, is valid for every path, and has no domain. So another subdomain cannot set it (RFC
6265bis, section 4.1.3.2).

The exceptions are Flask, which writes the cookie of `form_cookie`, and the doctor's echo, which sets two test cookies
without the prefix.
"""

from __future__ import annotations

import re

from werkzeug.wrappers import Response

HOST_PREFIX = "__Host-"
_PLAIN = re.compile(r"[A-Za-z0-9_.-]*", re.ASCII)  # all our values are base64url, so nothing must be quoted


def full_name(name: str, https: bool) -> str:
    """Return the name that browsers see: *name*, under https with the prefix `__Host-`."""
    return HOST_PREFIX + name if https else name


def set_cookie(
    response: Response, full_name: str, value: str, *, https: bool, max_age: int | None = None, cross_site: bool = False
) -> None:
    """Set the cookie until the browser is closed, or for *max_age* seconds.

    With *cross_site* the browser also sends the cookie with a form that another site posts here (SameSite=None instead
    of Lax). SameSite=None requires Secure, so over http the cookie is Lax, and the browser sends such a form without
    the cookie. Raises ValueError if *value* has other characters than letters, digits, "_", "." and "-".
    """
    if not _PLAIN.fullmatch(value):
        raise ValueError(f"the value of the cookie {full_name} has a character that must be quoted")
    name = full_name.encode().decode("latin-1")  # a cookie to delete may have a non-ASCII name
    life = "" if max_age is None else f" Max-Age={max_age};"
    secure = " Secure;" if https else ""
    same_site = "None" if cross_site and https else "Lax"
    response.headers.add("Set-Cookie", f"{name}={value};{life}{secure} HttpOnly; Path=/; SameSite={same_site}")


def clear_cookie(response: Response, full_name: str, *, https: bool) -> None:
    """Delete the cookie in the browser."""
    response.delete_cookie(full_name, path="/", secure=https, httponly=True, samesite="Lax")


def form_cookie(name: str, https: bool) -> dict[str, object]:
    """Return Flask's settings for its own signed cookie, which contains only the CSRF secret of the forms."""
    return {
        "SESSION_COOKIE_NAME": full_name(name, https),
        "SESSION_COOKIE_PATH": "/",
        "SESSION_COOKIE_SECURE": https,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
    }
