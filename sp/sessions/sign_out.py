"""What a provider's sign-out names. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SignOut:
    """A provider's word that somebody signed out there.

    The person is named by `subjects` (mapped ids), by `sub` where that is not what ids are mapped from, or by
    `emails` (as compared) where the token lacks the claim that ids are mapped from first; `names` are the token's ids
    by claim, and a session whose sign-in gave another value for one of them is another person's. `sid` names one
    session of the provider. `until` is the second after which the token is refused in any case.
    """

    provider: str
    token_id: str
    until: int
    sid: str | None
    subjects: frozenset[str]
    sub: str | None
    emails: frozenset[str]
    names: tuple[tuple[str, str], ...]
