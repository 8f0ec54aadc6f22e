"""Remember where a browser landed in the last few seconds, in a signed cookie, to detect redirect loops.

A sign-in lands on the requested page. A refusal lands on the error page that the provider's settings name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from itsdangerous import BadSignature
from werkzeug.wrappers import Response

from shared.clock import time_now
from shared.cookies import full_name, set_cookie
from shared.signed_values import SignedValues
from sp.sessions.cookies import LANDED_NAME

WINDOW = 10  # seconds that a landing is remembered; one round of a loop takes at most one second
ROUNDS = 2  # a round of a loop has four redirects, and at most ten redirects are allowed (docs/protocol.md)
REFUSED = "refused"  # for the error page; it cannot be a path, because a path begins with /
MAX_PATH = 200  # characters of a path that are stored for the comparison


class Landings:
    """Reads and writes the cookie."""

    def __init__(self, secret_keys: Sequence[str], *, https: bool) -> None:
        self._serializer = SignedValues(secret_keys, "lychgate landing")
        self._https = https
        self._name = full_name(LANDED_NAME, https)

    def note(self, response: Response, cookies: Mapping[str, str], return_path: str) -> None:
        """Record in *response* that the browser was signed in and sent to *return_path*."""
        self._note(response, cookies, return_path[:MAX_PATH])

    def note_refusal(self, response: Response, cookies: Mapping[str, str]) -> None:
        """Record in *response* that the browser was rejected and sent to the provider's own error page."""
        self._note(response, cookies, REFUSED)

    def was_refused(self, cookies: Mapping[str, str]) -> bool:
        """Tell whether this browser was sent to an error page in the last seconds (WINDOW)."""
        return self.rounds(cookies, REFUSED) > 0

    def rounds(self, cookies: Mapping[str, str], return_path: str) -> int:
        """Return how often this browser has landed on *return_path* in the last seconds (WINDOW)."""
        return sum(path == return_path[:MAX_PATH] for _at, path in self._read(cookies))

    def forget(self, response: Response) -> None:
        """Delete the cookie in *response*."""
        set_cookie(response, self._name, "", https=self._https, max_age=0, cross_site=True)

    def _note(self, response: Response, cookies: Mapping[str, str], where: str) -> None:
        """Add *where*. Refusals and sign-ins are limited separately, so that one kind does not delete the other."""
        kept = self._read(cookies)
        others = [landing for landing in kept if (landing[1] == REFUSED) != (where == REFUSED)]
        alike = [landing for landing in kept if landing not in others]
        value = self._serializer.dumps([*others, *[*alike, (int(time_now()), where)][-ROUNDS:]])
        set_cookie(response, self._name, value, https=self._https, max_age=WINDOW, cross_site=True)

    def _read(self, cookies: Mapping[str, str]) -> list[tuple[int, str]]:
        """Return (time, place) of each recent landing; none if the cookie was forged."""
        if self._name not in cookies:
            return []
        try:
            kept = self._serializer.loads(cookies[self._name])
        except BadSignature:
            return []
        return [(at, path) for at, path in kept if at > time_now() - WINDOW]
