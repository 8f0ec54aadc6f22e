"""Recognise a browser in which a person has signed in before, by a signed cookie.

The cookie cannot sign anyone in. Its only effect is that the person's password attempts in this browser are counted
separately (shared/throttling.py).
"""

from __future__ import annotations

from flask import Response

from idp import cookies
from idp.context import context
from shared.known_browsers import MAX_AGE, KnownBrowsers


def known_device(email: str) -> str | None:
    """Return the browser's name if *email* has signed in from it before."""
    return _devices().known(cookies.read(cookies.DEVICE), email)


def remember(response: Response, email: str) -> None:
    """Record in the browser's cookie that *email* has signed in from it."""
    value = _devices().remember(cookies.read(cookies.DEVICE), email)
    cookies.write(response, cookies.DEVICE, value, max_age=MAX_AGE)


def _devices() -> KnownBrowsers:
    return KnownBrowsers(context().settings.secret_keys, "idp device")
