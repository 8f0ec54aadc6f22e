"""One emulated service: a product with its key, its settings, and its state. It does not depend on HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lab.services.arrival import Arrival
from lab.services.memory import Attempt, Begun, Memory, Visitor
from lab.services.product import Product, Refusal, Settings, Situation
from lab.services.rule import judge
from lab.services.verifier import Verifier

STATE_BYTES = 16
Told = Callable[[Attempt], None]


def _tell_no_one(_attempt: Attempt) -> None:
    pass


@dataclass
class Service:
    """A configured product. `tell` is called with each attempt."""

    product: Product
    verifier: Verifier
    settings: Settings
    clock: Callable[[], float]
    memory: Memory = field(default_factory=Memory)
    tell: Told = _tell_no_one

    def take(
        self,
        delivery: str,
        values: Sequence[str],
        parameters: Mapping[str, str],
        *,
        origin: str,
        visitor: Visitor | None,
    ) -> tuple[Attempt, Refusal]:
        """Check a sign-in against the rules of the product, and record the attempt.

        Return the attempt and the answer. The answer is the response to a rejection, or the URL to which the browser
        goes after an accepted sign-in.
        """
        arrival = Arrival(
            delivery,
            values,
            parameters,
            origin,
            self.clock(),
            self.verifier,
            self.memory,
            visitor,
            self.settings.people,
            self.product.open,
            self.product.is_answer_to,
        )
        attempt = judge(self.product.rules, arrival)
        if attempt.accepted:
            answer = Refusal(302, self.product.landing(arrival) or "/")
        else:
            answer = self.product.refuse(self.situation(origin), attempt)
        attempt = replace(attempt, sent_to=answer.location.partition("?")[0])
        self.memory.record(attempt)
        self.tell(attempt)
        return attempt, answer

    def begin(self, visitor: Visitor, return_to: str, origin: str) -> str:
        """Begin a sign-in, and return where the browser goes."""
        begun = Begun(
            secrets.token_urlsafe(STATE_BYTES), secrets.token_urlsafe(STATE_BYTES), return_to or "/", self.clock()
        )
        self.memory.begin(visitor, begun)
        return self.product.begin(self.situation(origin), begun)

    def signed_out(self, claims: Mapping[str, Any], origin: str) -> str:
        """Return where a person goes after signing out."""
        return self.product.signed_out(self.situation(origin), claims) or "/"

    def situation(self, origin: str) -> Situation:
        """Return the facts by which the product decides where a browser goes."""
        return Situation(origin, self.settings, self.verifier, self.clock())
