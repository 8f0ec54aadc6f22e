"""The state of an emulated service: its visitors, spent tokens, and the last attempts. Each of them has a limit.

If there is no room for another spent token, a sign-in is rejected, because a forgotten token could be used again.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_VISITORS = 1000  # browsers; the oldest is forgotten first
MOST_BEGUN = 20  # pending sign-ins of one browser
MOST_SPENT = 10_000  # identifiers of tokens
MOST_ATTEMPTS = 1000


class NoRoom(Exception):
    """There are too many spent tokens that must still be remembered."""


@dataclass(frozen=True)
class Attempt:
    """An attempt to sign in: whether it was accepted, or the broken rule and the value found.

    `claims` are the token's claims; after a rejection they are unverified. `sent_to` is where the browser goes.
    """

    accepted: bool
    rule: str
    claims: Mapping[str, Any]
    found: str = ""
    delivery: str = ""
    at: float = 0.0
    sent_to: str = ""


@dataclass(frozen=True)
class Begun:
    """A sign-in that a browser began: its state and nonce, its return page, and the time."""

    state: str
    nonce: str
    return_to: str
    at: float


@dataclass
class Visitor:
    """A browser: its signed-in person, its last rejection, and its pending sign-ins."""

    claims: Mapping[str, Any] | None = None
    refused: Attempt | None = None
    begun: list[Begun] = field(default_factory=list)


class Memory:
    """The state of one emulated service. Several threads use it, and each method is atomic."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._visitors: OrderedDict[str, Visitor] = OrderedDict()
        self._spent: dict[str, float] = {}
        self._attempts: deque[Attempt] = deque(maxlen=MOST_ATTEMPTS)
        # Cookies ignore ports, so two emulators on one machine need different names.
        self.name = secrets.token_hex(4)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts since the last `reset`, oldest first."""
        with self._lock:
            return tuple(self._attempts)

    def record(self, attempt: Attempt) -> None:
        """Remember an attempt."""
        with self._lock:
            self._attempts.append(attempt)

    def visitor(self, cookie: str) -> Visitor | None:
        """Return the browser that has this cookie."""
        with self._lock:
            return self._visitors.get(cookie)

    def welcome(self, visitor: Visitor) -> str:
        """Remember a browser, and return its new cookie."""
        cookie = secrets.token_urlsafe(16)
        with self._lock:
            self._visitors[cookie] = visitor
            while len(self._visitors) > MOST_VISITORS:
                self._visitors.popitem(last=False)
        return cookie

    def forget(self, cookie: str) -> None:
        """Forget a browser."""
        with self._lock:
            self._visitors.pop(cookie, None)

    def begin(self, visitor: Visitor, begun: Begun) -> None:
        """Remember a sign-in that a browser begins."""
        with self._lock:
            visitor.begun = [*visitor.begun, begun][-MOST_BEGUN:]

    def end(self, visitor: Visitor | None, begun: Begun) -> bool:
        """Forget a pending sign-in; tell whether it was still there. If two calls race, only one returns True."""
        with self._lock:
            if visitor is None or begun not in visitor.begun:
                return False
            visitor.begun = [other for other in visitor.begun if other != begun]
            return True

    def spend(self, token_id: str, until: float, now: float) -> bool:
        """Spend a token's identifier until the time *until*; return False if it was already spent. Raises NoRoom."""
        token_id = hashlib.sha256(token_id.encode("utf-8", "surrogatepass")).hexdigest()  # identifiers may be long
        with self._lock:
            if self._spent.get(token_id, now - 1) >= now:
                return False
            if len(self._spent) >= MOST_SPENT:
                self._spent = {spent: end for spent, end in self._spent.items() if end >= now}
            if len(self._spent) >= MOST_SPENT:
                raise NoRoom
            self._spent[token_id] = until
            return True

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._visitors.clear()
            self._spent.clear()
            self._attempts.clear()
