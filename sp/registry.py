"""The providers that a worker trusts at the moment: settings and opened keys, at hand for each request.

Reads the database again when the settings have changed, which it asks at most every SP_SESSION_CACHE seconds. Keys
are imported here, once, because importing one costs more than a whole sign-in.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy.exc import SQLAlchemyError

from shared.errors import KeyUnavailable, ProviderDisabled, ProviderUnknown, StoreUnavailable
from shared.keys import KeyRefused, KeySet, load_key_set
from shared.vault import Vault, VaultLocked
from sp.provider_store import ProviderStore, StoredProvider
from sp.providers import Provider

log = logging.getLogger("lychgate")


@dataclass(frozen=True)
class Trusted:
    """A provider with its keys ready. `key_ids` gives the database row of each key by its fingerprint."""

    provider: Provider
    managed_by_file: bool
    configured: KeySet | None
    key_ids: dict[str, int]

    def keys(self) -> KeySet:
        """Return the configured keys, or raise KeyUnavailable if they cannot be opened."""
        if self.configured is None:
            raise KeyUnavailable(f"the stored keys of {self.provider.name} cannot be opened with this SP_SECRET_KEY")
        return self.configured


class ProviderRegistry:
    """Gives out providers by name. *adjust* lets the demo point its provider at the other program's address."""

    def __init__(
        self,
        store: ProviderStore,
        vault: Vault,
        *,
        cache: int,
        adjust: Callable[[Provider], Provider] = lambda provider: provider,
    ) -> None:
        self._store, self._vault, self._cache, self._adjust = store, vault, cache, adjust
        self._trusted: dict[str, Trusted] = {}
        self._revision = -1
        self._asked_at = float("-inf")

    def all(self) -> list[Trusted]:
        """Return every provider, enabled or not, by name. Raises StoreUnavailable."""
        self._refresh()
        return list(self._trusted.values())

    def enabled(self) -> list[Trusted]:
        """Return the enabled providers, the default one first."""
        found = [trusted for trusted in self.all() if trusted.provider.enabled]
        return sorted(found, key=lambda trusted: not trusted.provider.default)

    def get(self, name: str | None) -> Trusted:
        """Return the enabled provider *name*, or the default one for None.

        The default is the one marked so, else the only enabled one. Raises ProviderUnknown, ProviderDisabled.
        """
        if name is None:
            return self._default()
        self._refresh()
        trusted = self._trusted.get(name.lower())
        if trusted is None:
            raise ProviderUnknown(f"there is no provider {name[:60]}")
        if not trusted.provider.enabled:
            raise ProviderDisabled(f"the provider {trusted.provider.name} is disabled")
        return trusted

    def forget(self) -> None:
        """Read the database at the next request, for a change that was made here."""
        self._asked_at = float("-inf")

    def _default(self) -> Trusted:
        everyone = self.all()
        marked = [trusted for trusted in everyone if trusted.provider.default]
        candidates = marked or [t for t in everyone if t.provider.enabled] or everyone
        if not candidates:
            raise ProviderUnknown("no identity provider is configured")
        if len(candidates) > 1 and not marked:
            raise ProviderUnknown("several providers are enabled and none is the default: name one in the address")
        return self.get(candidates[0].provider.name)

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._asked_at < self._cache:
            return
        try:
            revision = self._store.revision()
            if revision != self._revision:
                self._trusted = {item.provider.name: self._open(item) for item in self._store.load()}
                self._revision = revision
        except SQLAlchemyError as error:
            raise StoreUnavailable(f"the database did not answer: {type(error).__name__}") from error
        self._trusted = {
            name: replace(trusted, provider=self._adjust(trusted.provider)) for name, trusted in self._trusted.items()
        }
        self._asked_at = now

    def _open(self, stored: StoredProvider) -> Trusted:
        provider = stored.provider
        keys: KeySet | None = None
        ids: dict[str, int] = {key.fingerprint: key.id for key in stored.keys}
        try:
            materials = [self._vault.open(key.sealed) for key in stored.keys]
            keys = load_key_set(materials, provider.algorithm, allow_short_secret=provider.allow_short_secret)
        except (VaultLocked, KeyRefused) as error:
            log.error("provider %s: its keys cannot be used: %s", provider.name, error)
        return Trusted(provider, stored.managed_by_file, keys, ids)
