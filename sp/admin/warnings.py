"""Warn administrators before people are locked out: about one provider, or about all providers together."""

from __future__ import annotations

from collections.abc import Sequence

from sp.providers.keys import JudgedKey
from sp.providers.risks import risks_of
from sp.providers.rows import StoredProvider

NO_WAY_IN = (
    "No administrator has a local password. If the identity provider fails, no administrator can sign in to fix it. "
    "Set a password for one: flask --app sp users create-admin EMAIL --password-stdin"
)


def of_all(everyone: Sequence[StoredProvider], *, administrator_can_enter: bool) -> list[str]:
    """Return the warnings that do not belong to one provider."""
    found = []
    enabled = [item.provider for item in everyone if item.provider.enabled]
    if not administrator_can_enter:
        found.append(NO_WAY_IN)
    if len(enabled) > 1 and not any(provider.default for provider in enabled):
        found.append(
            "Several providers are enabled, but none is the default: people choose one when they sign in for the first "
            "time, and tokens that arrive at the Return URL without a provider name are rejected. To change both, make "
            "one provider the default."
        )
    return found


def of_one(stored: StoredProvider, keys: Sequence[JudgedKey]) -> list[str]:
    """Return the warnings about this provider, whose keys are *keys*."""
    provider = stored.provider
    if stored.mistakes:
        refused = "; ".join(f"{name}: {why}" for name, why in stored.mistakes.items())
        return [
            f"This provider is not in use, because its stored settings are invalid: {refused}. Correct and save them."
        ]
    found = risks_of(provider)
    if not provider.jwks_url and not any(key.usable for key in keys):
        found.append("There is no usable key, so every token is rejected. Add a key.")
    if provider.default and not provider.enabled:
        found.append("This default provider is disabled: tokens that arrive without a provider name are rejected.")
    return found
