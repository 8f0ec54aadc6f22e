"""Name cookies and set their flags. Only this module writes Set-Cookie headers.

Every cookie of both programs is hidden from scripts and sent for every path of this host only. Under https it is
Secure, and its name begins with `__Host-`, which browsers accept only if it is Secure, for every path, and without a
domain: another subdomain cannot set it (RFC 6265bis, section 4.1.3.2).
"""

from __future__ import annotations

import re

from werkzeug.wrappers import Response

HOST_PREFIX = "__Host-"
_PLAIN = re.compile(r"[A-Za-z0-9_.-]*", re.ASCII)  # of base64url, which all our values are: nothing to quote


def full_name(name: str, https: bool) -> str:
    """Return the name that browsers see: *name*, under https with the prefix `__Host-`."""
    return HOST_PREFIX + name if https else name


def set_cookie(
    response: Response, full_name: str, value: str, *, https: bool, max_age: int | None = None, cross_site: bool = False
) -> None:
    """Set the cookie until the browser is closed, or for *max_age* seconds.

    With *cross_site* the browser also sends it with a form that another site posts here (SameSite=None instead of Lax).
    None requires Secure, so over http the cookie is Lax, and such a form comes without it. Raises ValueError for a
    *value* with other characters than letters, digits, "_", "." and "-".
    """
    if not _PLAIN.fullmatch(value):
        raise ValueError(f"the value of the cookie {full_name} has a character that must be quoted")
    name = full_name.encode().decode("latin-1")  # as headers carry a name that a browser sent: one to be deleted
    life = "" if max_age is None else f" Max-Age={max_age};"
    secure = " Secure;" if https else ""
    same_site = "None" if cross_site and https else "Lax"
    response.headers.add("Set-Cookie", f"{name}={value};{life}{secure} HttpOnly; Path=/; SameSite={same_site}")


def clear_cookie(response: Response, full_name: str, *, https: bool) -> None:
    """Delete the cookie in the browser."""
    response.delete_cookie(full_name, path="/", secure=https, httponly=True, samesite="Lax")


def form_cookie(name: str, https: bool) -> dict[str, object]:
    """Return Flask's settings for its own signed cookie, which holds only the secret of the forms."""
    return {
        "SESSION_COOKIE_NAME": full_name(name, https),
        "SESSION_COOKIE_PATH": "/",
        "SESSION_COOKIE_SECURE": https,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
    }
