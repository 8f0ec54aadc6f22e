"""Recognise a browser in which a person has signed in before, by a signed cookie.

The cookie cannot sign anyone in. It has one effect: the program counts the person's password attempts from this browser
separately (shared/throttling.py).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any

from itsdangerous import BadData

from shared.timed_texts import timed_serializer

MAX_AGE = 34_560_000  # seconds: 400 days, the longest time for which browsers keep a cookie
MAX_PEOPLE = 5  # people per browser; the person with the oldest sign-in is dropped first


class KnownBrowsers:
    """Reads and makes the value of the cookie.

    The value is signed with the first of *secret_keys*, which is the newest; all of them verify. The gateway and the
    identity provider use a different *salt* each.
    """

    def __init__(self, secret_keys: Sequence[str], salt: str) -> None:
        self._serializer = timed_serializer(secret_keys, salt)

    def known(self, value: str | None, email: str) -> str | None:
        """Return the browser's name if the cookie's *value* shows that *email* has signed in from this browser."""
        device = self._read(value)
        return str(device["id"]) if _person(email) in device["people"] else None

    def remember(self, value: str | None, email: str) -> str:
        """Return a new value for the cookie, which adds the sign-in of *email*."""
        device, person = self._read(value), _person(email)
        people = [person, *(other for other in device["people"] if other != person)][:MAX_PEOPLE]
        return str(self._serializer.dumps({"id": device["id"], "people": people}))

    def _read(self, value: str | None) -> dict[str, Any]:
        try:
            device: dict[str, Any] = self._serializer.loads(value or "", max_age=MAX_AGE)
        except BadData:
            return {"id": secrets.token_urlsafe(16), "people": []}
        return device


def _person(email: str) -> str:
    """Return a short name for the person that does not reveal the e-mail.

    Two e-mails get the same name only if they are equal except for case and surrounding spaces.
    `throttling.account_key` treats more e-mails as equal. This function must not do so: if two people have similar
    e-mails, the browser of one person must not get the separate count of the other person.
    """
    return hashlib.sha256(email.strip().lower().encode("utf-8", "replace")).hexdigest()[:32]
