"""Define a fault: one error in an otherwise valid token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lab.drafts import Draft

Level = Literal["hole", "strict"]
Made = str | tuple[str, str]
Make = Callable[[Draft], Made]


class NotApplicable(ValueError):
    """This fault is not possible with this key. The message says why."""


def any_key(_draft: Draft) -> str:
    """Return an empty text: the fault is possible with any key."""
    return ""


def secrets_only(draft: Draft) -> str:
    """Return why a fault of shared secrets is not possible with a private key; empty if it is possible."""
    return "" if isinstance(draft.key.private, bytes) else "it needs a shared secret (HS)"


def key_pairs_only(draft: Draft) -> str:
    """Return why a fault of public keys is not possible with a secret; empty if it is possible."""
    return "it needs a private key (RS or ES)" if isinstance(draft.key.private, bytes) else ""


@dataclass(frozen=True)
class Fault:
    """One error in a token.

    `what` completes "a token whose fault is: …". `rule` is the source: an RFC with its section, or common practice.
    `level` says who must reject it:

    - "hole": every service provider. An attacker can make such a token without the key, or has a token that was issued
      for another place, time or purpose.
    - "strict": a strict service provider. Only a faulty identity provider sends such a token. A lenient service
      provider that accepts it has the same fault.

    `about` is the claim that the valid token must have for the test to be meaningful. For example, if the valid token
    has no issuer, a service provider need not check the issuer. `obstacle` returns why the fault is not possible with
    the key of a draft, or an empty text. A fault that makes two tokens is about a second use: the first token is valid,
    and the second one must be rejected.
    """

    name: str
    what: str
    rule: str
    make: Make
    level: Level = "strict"
    about: str = ""
    obstacle: Callable[[Draft], str] = any_key

    def __str__(self) -> str:
        return self.name

    def tokens(self, draft: Draft) -> tuple[str, ...]:
        """Return the tokens to send, in order; the last one has the fault. Raises NotApplicable."""
        if why := self.obstacle(draft):
            raise NotApplicable(f"{self.name}: {why}")
        made = self.make(draft)
        return (made,) if isinstance(made, str) else made

    def token(self, draft: Draft) -> str:
        """Return the faulty token. Raises NotApplicable."""
        return self.tokens(draft)[-1]
