"""The person and session that a provider's sign-out names. Pure code: it does no I/O and reads no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class SignOut:
    """A provider's message that a person signed out there.

    `subjects` (mapped ids) name the person. If ids are mapped from another claim, `sub` does; if the token lacks the
    first claim for ids, `emails` (normalised) do. `names` are the token's ids by claim: a session whose sign-in had
    another value for one of them belongs to another person. `sid` names one session of the provider. After the second
    `until`, the token has certainly expired. `header`, `claims` and the fingerprint of the `key` are the token's.
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
