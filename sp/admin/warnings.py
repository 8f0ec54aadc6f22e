"""What an administrator should know before somebody is locked out: of one provider, and of all together."""

from __future__ import annotations

from collections.abc import Sequence

from sp.providers.keys import JudgedKey
from sp.providers.risks import risks_of
from sp.providers.rows import StoredProvider

NO_WAY_IN = (
    "No administrator has a local password. If the identity provider fails, nobody can come in to mend it. "
    "Give one a password: flask --app sp users create-admin EMAIL --password-stdin"
)


def of_all(everyone: Sequence[StoredProvider], *, administrator_can_enter: bool) -> list[str]:
    """Return what concerns no single provider."""
    found = []
    enabled = [item.provider for item in everyone if item.provider.enabled]
    if not administrator_can_enter:
        found.append(NO_WAY_IN)
    if len(enabled) > 1 and not any(provider.default for provider in enabled):
        found.append(
            "Several providers are enabled and none of them is the default: a token that comes to the Return URL "
            "without a name is refused."
        )
    return found


def of_one(stored: StoredProvider, keys: Sequence[JudgedKey]) -> list[str]:
    """Return what concerns this provider, whose keys are *keys*."""
    provider = stored.provider
    if stored.mistakes:
        refused = "; ".join(f"{name}: {why}" for name, why in stored.mistakes.items())
        return [f"This provider is out of use, because its stored settings are refused: {refused}. Save it anew."]
    found = risks_of(provider)
    if not provider.jwks_url and not any(key.usable for key in keys):
        found.append("There is no key that can be used: every token is refused. Add one.")
    if provider.default and not provider.enabled:
        found.append("This is the default provider, and it is disabled: tokens without a name are refused.")
    return found
