"""Show which claim fills which field, and which claims and fields are not used.

A wrong name in the field matching leaves a field empty, and causes no error unless the field is `id` or `email`. This
report makes the mistake visible.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.claims import find_claim
from sp.providers.provider import Provider

# Claims that the gateway itself reads, whether or not they are matched with a field.
OWN_CLAIMS = frozenset(
    {"iss", "aud", "iat", "exp", "nbf", "jti", "nonce", "sid", "return_to", "email_verified", "azp"}
)  # fmt: skip
REQUIRED = frozenset({"id", "email"})  # fields that every sign-in needs


@dataclass(frozen=True)
class Match:
    """One field: its claims in order of preference, the first claim that was found, and its value."""

    field: str
    wanted: tuple[str, ...]
    claim: str | None
    value: Any = None


def match_fields(claims: Mapping[str, Any], provider: Provider) -> list[Match]:
    """Return the value in *claims* for each field of the provider's field matching."""
    return [_match(claims, field, wanted) for field, wanted in provider.mapping]


def unmatched_claims(claims: Mapping[str, Any], provider: Provider) -> list[str]:
    """Return the names of claims that fill no field and that the gateway does not need itself."""
    used = {name for _field, wanted in provider.mapping for name in wanted}
    used |= {name.partition(".")[0] for name in used}
    return sorted(set(claims) - used - OWN_CLAIMS)


def _match(claims: Mapping[str, Any], field: str, wanted: tuple[str, ...]) -> Match:
    for name in wanted:
        value = find_claim(claims, name)
        if value is not None and value != "":
            return Match(field, wanted, name, value)
    return Match(field, wanted, None)
