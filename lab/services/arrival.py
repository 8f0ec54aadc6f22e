"""A sign-in that an emulated service received: the place of its token, and the token's content."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lab.services.memory import Begun, Memory, Visitor
from lab.services.verifier import Verifier

MAX_TOKEN = 16_384  # characters
BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


class Unreadable(ValueError):
    """The received text is not a token. The message gives the reason, and does not quote the text."""


@dataclass(frozen=True)
class OpenedToken:
    """The parts of a token, not verified. `signed` is the text that `signature` must sign."""

    claims: Mapping[str, Any]
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    header: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Arrival:
    """A request to the URL for tokens, with everything that the service needs to accept or reject it.

    `values` are the values of the token's parameter. `delivery` says whether they came from the query or from the form.
    """

    delivery: str
    values: Sequence[str]
    parameters: Mapping[str, str]
    origin: str
    now: float
    verifier: Verifier
    memory: Memory
    visitor: Visitor | None
    people: Sequence[str]
    open: Callable[[Arrival], OpenedToken]
    is_answer_to: Callable[[Arrival, Begun], bool]

    @property
    def token(self) -> str:
        """The token, or an empty text."""
        return self.values[0] if self.values else ""

    @cached_property
    def opened(self) -> OpenedToken:
        """The parts of the token. Raises Unreadable."""
        return self.open(self)

    @property
    def claims(self) -> Mapping[str, Any]:
        """The claims. Raises Unreadable."""
        return self.opened.claims

    @cached_property
    def begun(self) -> Begun | None:
        """The sign-in that this browser began and this token answers, or None.

        It stays the same after `end`. Raises Unreadable.
        """
        found = self.visitor.begun if self.visitor else []
        return next((begun for begun in found if self.is_answer_to(self, begun)), None)

    def end(self) -> bool:
        """End the pending sign-in that this token answers; tell whether it was still open."""
        return self.begun is not None and self.memory.end(self.visitor, self.begun)

    def readable_claims(self) -> Mapping[str, Any]:
        """Return the claims, or an empty mapping if they cannot be read."""
        try:
            return self.claims
        except Unreadable:
            return {}


def open_jwt(arrival: Arrival) -> OpenedToken:
    """Return the parts of a compact JWS (RFC 7515, section 3.1). Raises Unreadable."""
    token = arrival.token
    if len(token) > MAX_TOKEN:
        raise Unreadable(f"it has more than {MAX_TOKEN:,} characters")
    parts = token.split(".")
    if len(parts) != 3:
        raise Unreadable(f"it has {len(parts)} parts instead of three")
    if not all(BASE64URL.fullmatch(part) for part in parts):
        raise Unreadable("a part is empty or not base64url")
    header, claims = (_json(_octets(part), name) for part, name in zip(parts[:2], ("header", "payload"), strict=True))
    return OpenedToken(claims, f"{parts[0]}.{parts[1]}".encode(), _octets(parts[2]), header)


def _octets(part: str) -> bytes:
    try:
        return urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise Unreadable("a part is not base64url") from None


def _json(octets: bytes, name: str) -> Mapping[str, Any]:
    try:
        value = json.loads(octets.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Unreadable(f"the {name} is not JSON in UTF-8, or names a member twice") from None
    if not isinstance(value, dict):
        raise Unreadable(f"the {name} is not a JSON object")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is there twice")
    return found


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
