"""Remember, in signed cookies, the hand-overs that a browser has begun at a site.

If a browser is signed in at home, a hand-over gives it a session at a further site. The further site sets a cookie with
a nonce and the page to return to. Home gets only a hash of the nonce, and issues a ticket for that hash. So a ticket
for one browser cannot open a session in another browser. Each hand-over has a separate cookie, so that several tabs do
not overwrite each other's.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from itsdangerous import BadSignature
from werkzeug.wrappers import Response

from shared.clock import time_now
from shared.cookies import full_name, set_cookie
from shared.signed_values import SignedValues
from sp.sessions.cookies import HAND_OVER_PREFIX
from sp.signin.pending import LIFETIME, too_many

STATE = re.compile(r"[A-Za-z0-9_-]{43}\Z")  # SHA-256 as base64url without padding


@dataclass(frozen=True)
class HandOver:
    """One hand-over that began at *site*. `began_at` is in seconds since 1970. `cookie` is the name of its cookie."""

    nonce: str
    site: str
    return_to: str
    began_at: int
    cookie: str

    @property
    def state(self) -> str:
        """The hash of the nonce. It is sent to home."""
        return _state_of(self.nonce)


class HandOvers:
    """Reads and writes the cookies of one gateway's sites."""

    def __init__(self, secret_keys: Sequence[str], *, https: bool) -> None:
        self._serializer = SignedValues(secret_keys, "lychgate hand-over")
        self._https = https
        self._prefix = full_name(HAND_OVER_PREFIX, https)

    def begin(self, response: Response, cookies: Mapping[str, str], site: str, return_to: str) -> HandOver:
        """Begin a hand-over: set its cookie, and return it. If there are too many cookies, delete the oldest ones."""
        nonce = secrets.token_urlsafe(24)
        begun = HandOver(nonce, site, return_to, int(time_now()), self._name(nonce))
        value = self._serializer.dumps([nonce, site, return_to, begun.began_at])
        self._make_room(response, cookies, len(value))
        self._set(response, begun.cookie, value, LIFETIME)
        return begun

    def answered(self, cookies: Mapping[str, str], site: str, state: str) -> HandOver | None:
        """Return the hand-over with *state* that this browser began at *site*, or None."""
        found = (begun for name in cookies if (begun := self._parse(name, cookies[name])) is not None)
        mine = (begun for begun in found if begun.site == site)
        return next((begun for begun in mine if hmac.compare_digest(begun.state, state)), None)

    def finish(self, response: Response, begun: HandOver) -> None:
        """Delete the cookie of *begun*."""
        self._set(response, begun.cookie, "", 0)

    def _parse(self, name: str, value: str) -> HandOver | None:
        if not name.startswith(self._prefix):
            return None
        try:
            nonce, site, return_to, began_at = self._serializer.loads(value)
        except (BadSignature, ValueError, TypeError):
            return None
        if name != self._name(nonce) or not time_now() - LIFETIME < began_at:
            return None  # the hand-over has expired, or the gateway did not set a cookie with this name for it
        return HandOver(nonce, site, return_to, began_at, name)

    def _name(self, nonce: str) -> str:
        """Return the only valid cookie name for the hand-over with this nonce."""
        return self._prefix + hashlib.sha256(nonce.encode()).hexdigest()[:8]

    def _make_room(self, response: Response, cookies: Mapping[str, str], needed: int) -> None:
        mine = {name: value for name, value in cookies.items() if name.startswith(self._prefix)}
        ages = {name: begun.began_at if (begun := self._parse(name, mine[name])) else 0 for name in mine}
        for name in too_many(mine, ages, needed):
            self._set(response, name, "", 0)

    def _set(self, response: Response, name: str, value: str, max_age: int) -> None:
        """Set a cookie that browsers send with the redirect from home.

        SameSite=Lax is enough, because the redirect is a GET of the whole window.
        """
        set_cookie(response, name, value, https=self._https, max_age=max_age)


def is_state(text: str) -> bool:
    """Tell whether *text* has the form of a state."""
    return STATE.match(text) is not None


def _state_of(nonce: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(nonce.encode()).digest()).rstrip(b"=").decode()
