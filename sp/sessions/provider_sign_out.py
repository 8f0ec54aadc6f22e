"""The person and session that a provider's sign-out names. Pure code: it does no I/O and reads no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class SignOut:
    """A provider's message that a person has signed out at the provider.

    These fields identify the person:

    - `subjects` are the ids that the provider's claims mapping finds in the token.
    - `sub` is the token's claim `sub`. It is None if ids are mapped from `sub`.
    - `emails` are normalised. They are used only if the token lacks the first claim that ids are mapped from.
    - `names` are the token's ids by claim. If a sign-in had another value for one of these claims, its session belongs
      to another person.

    `sid` names one session of the provider. `until` is in seconds since 1970; after it, the token has certainly
    expired. `header`, `claims` and `key` (a fingerprint) come from the token.
    """

    provider: str
    token_id: str
    until: int
    sid: str | None
    subjects: frozenset[str]
    sub: str | None
    emails: frozenset[str]
    names: tuple[tuple[str, str], ...]
    header: Mapping[str, Any] = field(default_factory=dict)
    claims: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
