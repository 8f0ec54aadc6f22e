"""What a provider's sign-out names. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class SignOut:
    """A provider's message that a person signed out there.

    The person is named by `subjects` (mapped ids), by `sub` if ids are mapped from another claim, or by `emails`
    (normalised) if the token lacks the claim that ids are mapped from first. `names` are the token's ids by claim: a
    session whose sign-in had another value for one of them belongs to another person. `sid` names one session of the
    provider. `until` is the second after which the token has expired in any case. `header`, `claims` and the
    fingerprint of the `key` are those of the token.
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
