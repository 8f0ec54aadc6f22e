"""Cache where requests go by host, method and path: the part of a decision that is the same for everybody.

The person, the headers, the query, and the spelling of the path in the request line are not part of it. They are
checked at each request. The cache belongs to one set of sites and rules, and a reload replaces both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sp.policy.decision import Decision

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from sp.gateway.access import SiteAccess

MAX_REMEMBERED = 4096  # destinations; strangers choose hosts, methods and paths
MAX_REMEMBERED_LENGTH = 512  # characters of host, method and path together

Key = tuple[str, str, str]
"""The Host header, the method and PATH_INFO, exactly as they came."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a request goes: to the site of *access*, and there to *own* if it is one of our URLs.

    *possible* are the decisions of the rules by their verdict about a person. It is empty if the decision needs more
    than the path. *signed_in* is the one among them about everybody who is signed in, if the rule does not ask who it
    is. *is_probe*: the doctor may ask for this path.
    """

    path: str
    access: SiteAccess
    own: WSGIApplication | None
    possible: tuple[Decision, ...] = ()
    signed_in: Decision | None = None
    is_probe: bool = False

    def with_care(self) -> Destination:
        """Return the same destination without *possible*, for a request whose headers or query need a full decision."""
        return replace(self, possible=(), signed_in=None) if self.possible else self


class Destinations(dict[Key, Destination]):
    """The destinations of one set of sites and rules. Reading needs no lock. Long paths are not cached."""

    def remember(self, key: Key, destination: Destination) -> Destination:
        """Store and return *destination*. If there are too many, all are dropped, because finding one again is fast."""
        if sum(map(len, key)) <= MAX_REMEMBERED_LENGTH:
            if len(self) >= MAX_REMEMBERED:
                self.clear()
            self[key] = destination
        return destination
