"""Recognise a browser in which a person has signed in before: a signed cookie, which says no more than that.

It signs nobody in. It only moves the person's attempts to a count of their own (throttling.py).
"""

from __future__ import annotations

import secrets
from typing import Any

from flask import Response
from itsdangerous import BadData, URLSafeTimedSerializer

from idp import cookies
from idp.parts import parts
from idp.throttling import account_key

MAX_AGE = 34_560_000  # seconds: 400 days, the most that browsers keep a cookie
MAX_PEOPLE = 5  # on one browser; the one who has not signed in for longest is forgotten


def known_device(email: str) -> str | None:
    """Return the browser's name if *email* has signed in from it before."""
    device = _read()
    return str(device["id"]) if account_key(email) in device["people"] else None


def remember(response: Response, email: str) -> None:
    """Note in the browser that *email* has signed in from it."""
    device, account = _read(), account_key(email)
    people = [account, *(other for other in device["people"] if other != account)][:MAX_PEOPLE]
    value = _serializer().dumps({"id": device["id"], "people": people})
    cookies.write(response, cookies.DEVICE, str(value), max_age=MAX_AGE)


def _read() -> dict[str, Any]:
    try:
        device: dict[str, Any] = _serializer().loads(cookies.read(cookies.DEVICE) or "", max_age=MAX_AGE)
    except BadData:
        return {"id": secrets.token_urlsafe(16), "people": []}
    return device


def _serializer() -> URLSafeTimedSerializer:
    newest_last = list(reversed(parts().settings.secret_keys))
    return URLSafeTimedSerializer(newest_last, salt="idp device")
