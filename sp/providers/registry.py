"""Cache the providers that a worker trusts, with their settings and decrypted keys.

The registry asks the database whether the settings have changed: at most every SP_SESSION_CACHE seconds, and also after
a change by this process, or if the caller needs the newest settings. If they have changed, it reads them again. It
imports keys only then, because importing a key takes longer than a whole sign-in.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from shared.errors import KeyUnavailable, ProviderDisabled, ProviderUnknown, SignatureInvalid
from shared.keys import SYMMETRIC, KeyRefused, KeySet, TokenKey, load_key
from shared.tokens import take_apart
from shared.vault import Vault, VaultLocked
from sp.providers.jwks_client import KeyCopies, KeyEndpoint
from sp.providers.patience import Patience
from sp.providers.provider import Provider

if TYPE_CHECKING:
    from sp.providers.apply import ProviderStore
    from sp.providers.rows import StoredProvider

Result = TypeVar("Result")
log = logging.getLogger("lychgate")


@dataclass(frozen=True)
class Trusted:
    """A provider with its decrypted keys. `key_ids` has the id of each key's database row, by fingerprint."""

    provider: Provider
    managed_by_file: bool
    configured: KeySet | None
    key_ids: dict[str, int]
    endpoint: KeyEndpoint | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)  # of all providers, so that they can be kept out of logs

    @property
    def signing_key(self) -> TokenKey | None:
        """The first configured key that can sign, or None. A shared secret or a private key can sign."""
        return next((key for key in self.configured.keys if key.private), None) if self.configured else None

    def with_keys(
        self, unverified_token: str, attempt: Callable[[KeySet], Result], patience: Patience | None = None
    ) -> Result:
        """Return the result of *attempt*, which verifies the token, with this provider's keys.

        If no key verifies the token, and the token names an unknown key or no key, the provider may have changed its
        keys. Then the keys are fetched from the endpoint again, at most every few seconds, and *attempt* is repeated
        with the new keys.
        """
        patience = patience or Patience()
        keys = self.keys(patience)
        try:
            return attempt(keys)
        except SignatureInvalid:
            newer = self._newer_keys(unverified_token, keys, patience)
            if newer is None:
                raise
        return attempt(newer)

    def _newer_keys(self, unverified_token: str, tried: KeySet, patience: Patience) -> KeySet | None:
        kid = take_apart(unverified_token).header.get("kid")
        if self.endpoint is None or any(key.kid == kid for key in tried.keys if key.kid is not None):
            return None
        return self.endpoint.newer_than(tried, patience)

    def keys(self, patience: Patience | None = None) -> KeySet:
        """Return the keys that verify: the endpoint's keys if there is an endpoint, otherwise the configured keys.

        Raises KeyUnavailable if there are configured keys but none of them can be used, or if the endpoint's keys are
        missing or too old.
        """
        if self.endpoint is not None:
            return self.endpoint.keys(patience)
        if self.configured is None:
            raise KeyUnavailable(f"the stored keys of {self.provider.name} cannot be opened with this SP_SECRET_KEY")
        return self.configured


class ProviderRegistry:
    """Returns providers by name. *adjust* changes each provider. A demo uses it to set the identity provider's URL."""

    def __init__(
        self,
        store: ProviderStore,
        vault: Vault,
        *,
        copies: KeyCopies,
        cache: int,
        jwks_max_stale: int,
        adjust: Callable[[Provider], Provider] = lambda provider: provider,
    ) -> None:
        self._store, self._vault, self._cache, self._adjust = store, vault, cache, adjust
        self._copies, self._jwks_max_stale = copies, jwks_max_stale
        self._endpoints: dict[str, KeyEndpoint] = {}
        self._trusted: dict[str, Trusted] = {}
        self._secrets: tuple[str, ...] = ()
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
        """Return the enabled provider *name*. If *name* is None, return the default provider.

        The default is the provider that is marked as default. If none is marked, it is the only enabled provider.
        Raises ProviderUnknown, ProviderDisabled.
        """
        trusted = self.find(name)
        if not trusted.provider.enabled:
            raise ProviderDisabled(f"the provider {trusted.provider.name} is disabled")
        return trusted

    def find(self, name: str | None) -> Trusted:
        """Return the provider *name*. If *name* is None, return the default provider. Either may be disabled.

        Raises ProviderUnknown.
        """
        if name is None:
            return self._default()
        self._refresh()
        trusted = self._trusted.get(name.lower())
        if trusted is None:
            raise ProviderUnknown(f"the provider {name[:60]} does not exist")
        return trusted

    def secrets(self) -> tuple[str, ...]:
        """Return the shared secrets of all providers, so that they can be removed from log texts.

        The secrets are as they were when the database was last read. This method does not read it.
        """
        return self._secrets

    def find_now(self, name: str) -> Trusted:
        """Return the provider as `find` does, but read it from the database now."""
        self.forget()
        return self.find(name)

    def in_force(self, stored: StoredProvider) -> StoredProvider:
        """Return *stored* with the settings in use. For a demo's provider, they have the identity provider's URLs."""
        return replace(stored, provider=self._adjust(stored.provider))

    def forget(self) -> None:
        """Read the database at the next request, because this process made a change."""
        self._asked_at = float("-inf")

    def _default(self) -> Trusted:
        everyone = self.all()
        marked = [trusted for trusted in everyone if trusted.provider.default]
        candidates = marked or [t for t in everyone if t.provider.enabled] or everyone
        if not candidates:
            raise ProviderUnknown("no identity provider is configured")
        if len(candidates) > 1 and not marked:
            raise ProviderUnknown("several providers are enabled and none is the default: name one in the URL")
        return candidates[0]

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._asked_at < self._cache:
            return
        revision = self._store.revision()
        if revision != self._revision:
            opened = [self._open(item) for item in self._store.load()]
            self._secrets = tuple(dict.fromkeys(secret for trusted in opened for secret in _secrets_of(trusted)))
            self._trusted = {each.provider.name: replace(each, secrets=self._secrets) for each in opened}
            self._revision = revision
        self._trusted = {
            name: replace(trusted, provider=self._adjust(trusted.provider)) for name, trusted in self._trusted.items()
        }
        self._asked_at = now

    def _open(self, stored: StoredProvider) -> Trusted:
        """Return *stored* with decrypted keys. If a key cannot be used, it is left out, and the others still verify."""
        provider = stored.provider
        keys = []
        for kept in stored.keys:
            try:
                material = self._vault.decrypt(kept.sealed)
                keys.append(load_key(material, provider.algorithm, allow_short_secret=provider.allow_short_secret))
            except (VaultLocked, KeyRefused) as error:
                log.error("provider %s: the key %s cannot be used: %s", provider.name, kept.fingerprint, error)
        usable = KeySet(tuple(keys)) if keys or not stored.keys else None
        ids = {key.fingerprint: key.id for key in stored.keys}
        return Trusted(provider, stored.managed_by_file, usable, ids, self._endpoint(provider))

    def _endpoint(self, provider: Provider) -> KeyEndpoint | None:
        """Return the provider's key endpoint. It is the same object until its URL or algorithm changes."""
        known = self._endpoints.get(provider.name)
        if not provider.jwks_url:
            self._endpoints.pop(provider.name, None)
            return None
        if known is None or (known.url, known.algorithm) != (provider.jwks_url, provider.algorithm):
            known = KeyEndpoint(
                provider.name,
                provider.jwks_url,
                provider.algorithm,
                self._copies,
                max_stale=self._jwks_max_stale,
            )
            self._endpoints[provider.name] = known
        return known


def _secrets_of(trusted: Trusted) -> Iterator[str]:
    for key in trusted.configured.keys if trusted.configured else ():
        if key.algorithm in SYMMETRIC:
            yield key.secret.decode("utf-8", "replace")
