"""What is known when an attempt is rejected: the request, the settings, the keys. Pure.

`sp.diagnosis.causes` finds the cause in it. A view collects it, because only a view knows the request.
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
    """What a request brought. `tokens` are (way, token) in the expected place, neither verified nor kept.

    `elsewhere` is (kind of place, name) of what looks like a token and is in another place; `names` are the parameters.
    `scheme` is that of an Authorization header that is not Bearer. `is_bound` is False for a client whose cookies are
    not looked at.
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
    """Say that no earlier use of a token is known."""
    return None


@dataclass(frozen=True)
class Evidence:
    """All of it. `others` are the keys of the other providers by name, `asked` the sign-ins that the browser started.

    `earlier` looks the first use of a token up, by its key and the person's ID at the provider. `now` is in seconds
    since 1970. `secrets` are texts to remove from everything that is kept.
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
