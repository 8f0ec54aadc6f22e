"""Remember where requests go by host, method and path alone: the part of a decision that is the same for everybody.

Who asks, which headers and query come along, and how the request line spelled the path is not part of it: a decision
looks at them at each request. What is remembered belongs to one set of sites and rules. A reload replaces the set, and
what was remembered goes with it.
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
    """Where a request goes: to the site of *access*, and there to *own* if it is for a URL of ours.

    *possible* are the decisions of the rules by their verdict about a person; they are empty if more than the path
    must be looked at. *signed_in* is the one among them about everybody who is signed in, if the rule does not ask who
    it is. *is_probe*: the doctor may ask for this path.
    """

    path: str
    access: SiteAccess
    own: WSGIApplication | None
    possible: tuple[Decision, ...] = ()
    signed_in: Decision | None = None
    is_probe: bool = False

    def with_care(self) -> Destination:
        """Return the same destination for a request that asks for more than its path shows."""
        return replace(self, possible=(), signed_in=None) if self.possible else self


class Destinations(dict[Key, Destination]):
    """Those of one set of sites and rules. What is read takes no lock, and what is long is not remembered."""

    def remember(self, key: Key, destination: Destination) -> Destination:
        """Keep and return *destination*. If there are too many, all are forgotten: to find one again takes little."""
        if sum(map(len, key)) <= MAX_REMEMBERED_LENGTH:
            if len(self) >= MAX_REMEMBERED:
                self.clear()
            self[key] = destination
        return destination
