"""Cache where requests go by host, method and path. This part of a decision is the same for everybody.

The person, the headers, the query, and the spelling of the path in the request line are not cached. They are checked
at each request. A cache belongs to one set of sites and rules. A reload replaces the set and its cache.
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
    """Where a request goes: to the site of *access*, and there to *own* if it is one of the gateway's URLs.

    *possible* contains one decision for each verdict that a rule can give about a person. It is empty if method and
    path do not select one rule, if there are shadow rules, if *own* is given, or after `with_care`. *signed_in* is the
    decision about every signed-in person. It is None if the rule allows only some of them, or if *possible* is empty.
    *is_probe* is true if the doctor may ask for this path.
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
    """The destinations of one set of sites and rules. Reading needs no lock. Long hosts and paths are not cached."""

    def remember(self, key: Key, destination: Destination) -> Destination:
        """Return *destination*, and store it unless *key* is too long.

        A full cache is cleared, because finding a destination again is fast.
        """
        if sum(map(len, key)) <= MAX_REMEMBERED_LENGTH:
            if len(self) >= MAX_REMEMBERED:
                self.clear()
            self[key] = destination
        return destination
