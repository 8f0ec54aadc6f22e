"""The facts about a rejected attempt: the request, the settings, the keys.

`sp.diagnosis.causes` finds the cause in them. A view collects them, because only a view knows the request.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from shared.errors import Rejection
from shared.keys import KeySet
from sp.providers.provider import Provider
from sp.signin.verification import Verified

Purpose = Literal["sign_in", "sign_out"]


class AskedFor(Protocol):
    """A sign-in that this browser has started. `started_at` is in seconds since 1970."""

    @property
    def nonce(self) -> str: ...
    @property
    def started_at(self) -> int: ...
    @property
    def elsewhere(self) -> bool: ...


@dataclass(frozen=True)
class EarlierUse:
    """When a token was used before, in seconds since 1970, and the reference of that attempt."""

    reference: str
    at: int
    ip: str


@dataclass(frozen=True)
class Arrival:
    """The tokens of a request.

    `tokens` are pairs (way, token) in the expected place; they are neither verified nor stored.

    `elsewhere` are pairs (kind of place, name) for texts in other places that look like tokens. `names` are the
    parameters. `scheme` is the scheme of an Authorization header that is not Bearer. `is_bound` is False for a client
    whose cookies are ignored.
    """

    parameter: str = "jwt"
    tokens: Sequence[tuple[str, str]] = field(default=(), repr=False)
    elsewhere: Sequence[tuple[str, str]] = ()
    names: Sequence[str] = ()
    scheme: str = ""
    content_type: str = ""
    has_cookies: bool = False
    is_bound: bool = True

    @property
    def token(self) -> str | None:
        """The token, if there is exactly one."""
        return self.tokens[0][1] if len(self.tokens) == 1 else None


def never_used(_key: bytes, _subject: str) -> EarlierUse | None:
    """Return None: no earlier use of a token is known."""
    return None


@dataclass(frozen=True)
class Evidence:
    """All known facts about a rejected attempt.

    `others` are all providers, by name, with their configured keys. The provider of the token may be among them.
    `asked` are the sign-ins that the browser started. `earlier` looks up the first use of a token by its key and the
    person's ID at the provider. `now` is in seconds since 1970. `secrets` are texts to remove from everything that is
    stored.
    """

    rejection: Rejection
    now: float
    arrival: Arrival
    purpose: Purpose = "sign_in"
    provider: Provider | None = None
    keys: KeySet | None = None
    verified: Verified | None = None
    others: Mapping[str, tuple[Provider, KeySet | None]] = field(default_factory=dict)
    asked: Sequence[AskedFor] = ()
    earlier: Callable[[bytes, str], EarlierUse | None] = never_used
    ip: str = ""
    sent_to: str | None = None
    secrets: Sequence[str] = field(default=(), repr=False)
