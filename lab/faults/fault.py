"""What a fault is: one thing that is wrong with a token that is good otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lab.drafts import Draft

Level = Literal["hole", "strict"]
Made = str | tuple[str, str]
Make = Callable[[Draft], Made]


class NotApplicable(ValueError):
    """This fault cannot be made with this key. The message says why."""


def any_key(_draft: Draft) -> str:
    """Say that the fault can be made with any key."""
    return ""


def secrets_only(draft: Draft) -> str:
    """Say why a fault of shared secrets cannot be made with a private key; empty if it can."""
    return "" if isinstance(draft.key.private, bytes) else "it needs a shared secret (HS)"


def key_pairs_only(draft: Draft) -> str:
    """Say why a fault of public keys cannot be made with a secret; empty if it can."""
    return "it needs a private key (RS or ES)" if isinstance(draft.key.private, bytes) else ""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    `what` completes "a token whose fault is: …". `rule` is the source: an RFC with its section, or what the field does.
    `level` says who must refuse it:

    - "hole": every service provider. Someone who does not have the key can make such a token, or has one that is not
      meant for this place, this time or this purpose.
    - "strict": a strict service provider. Only a faulty identity provider sends such a token; a lenient one that
      accepts it makes that fault its own.

    `about` is the claim that the good token must have, so that the answer tells something: a service provider that is
    told no issuer need not check it. A fault with two tokens is about a second use: the first is good.
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
        """Return what is to be sent, in order: the last one is wrong. Raises NotApplicable."""
        if why := self.obstacle(draft):
            raise NotApplicable(f"{self.name}: {why}")
        made = self.make(draft)
        return (made,) if isinstance(made, str) else made

    def token(self, draft: Draft) -> str:
        """Return the wrong token. Raises NotApplicable."""
        return self.tokens(draft)[-1]
