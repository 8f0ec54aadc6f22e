"""Store providers in the database: apply them from a file, remove them, and audit every change.

Keys are encrypted before they are stored. A change is one transaction, so if any part of it is refused, nothing is
stored. If the same file is applied a second time, nothing changes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from shared.keys import SYMMETRIC, KeyRefused, generate_key, load_key_set
from shared.schema import lock_for_transaction
from shared.vault import Vault, VaultLocked
from sp.activity import audit
from sp.database.access import Database
from sp.providers import changes, rows
from sp.providers.provider import Provider
from sp.providers.rows import MANAGED, default_of_the_file
from sp.providers.rows import StoredProvider as StoredProvider  # exported, because `load` returns it
from sp.providers.setting_reader import ProviderRefused
from sp.providers.settings_parser import parse_provider
from sp.routes import Routes

SETTINGS_LOCK = 0x73657474  # "sett"; it makes nodes that start together apply the same file one after another

log = logging.getLogger("lychgate")


class ProvidersRefused(ValueError):
    """Providers that cannot be applied. `mistakes` has a line for each error. No provider was changed."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = list(mistakes)
        super().__init__("\n".join(mistakes))


class _Undone(Exception):
    """Raised to roll back a transaction that only looks for errors."""


@dataclass
class Applied:
    """The result of a change: the names of the providers, and the keys that were generated, by provider.

    Generated keys are shown once.
    """

    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    disabled: list[str] = field(default_factory=list)
    generated: dict[str, str] = field(default_factory=dict)


class ProviderStore:
    """Reads and writes providers. *vault* encrypts their keys. *own* are the gateway's URLs.

    Providers from the operator's file can be changed only in that file. The file is applied at each start, and whenever
    it has changed.
    """

    def __init__(self, database: Database, vault: Vault, own: Routes) -> None:
        self._database = database
        self._vault = vault
        self._own = own

    def revision(self) -> int:
        """Return a number that grows with each change of the settings. Raises StoreUnavailable."""
        with self._database.reading() as connection:
            return rows.revision(connection)

    def load(self) -> list[StoredProvider]:
        """Return every provider, by name. Raises StoreUnavailable."""
        with self._database.reading() as connection:
            return rows.load_all(connection)

    def apply(
        self, document: Mapping[str, Any], *, actor: str, managed_by_file: bool = False, removes: bool = True
    ) -> Applied:
        """Create or change the providers of *document*, a table of names and settings.

        If `keys` is missing or empty, the stored keys stay. If there are no stored keys either, a provider with an HS
        algorithm gets a generated key.

        *managed_by_file* means that the document is the operator's own file. If the file no longer names a provider,
        that provider is removed if *removes* is true. Otherwise it is disabled and keeps its keys, because the file may
        name it again.

        Raises ProvidersRefused with every error in every provider.
        """
        with self._database.writing() as connection:
            return self._apply(connection, document, actor, managed_by_file, removes)

    def mistakes_in(self, document: Mapping[str, Any]) -> list[str]:
        """Return the errors that would occur if *document* were applied as the operator's own file. Change nothing."""
        try:
            with self._database.writing() as connection:
                self._apply(connection, document, "check", managed_by_file=True)
                raise _Undone
        except _Undone:
            return []
        except ProvidersRefused as refusal:
            return refusal.mistakes

    def _apply(
        self,
        connection: Connection,
        document: Mapping[str, Any],
        actor: str,
        managed_by_file: bool,
        removes: bool = True,
    ) -> Applied:
        wanted, mistakes = _read(document, self._own)
        applied = Applied()
        lock_for_transaction(connection, SETTINGS_LOCK)
        stored = {item.provider.name: item for item in rows.load_all(connection)}
        for provider, keys in wanted:
            if not managed_by_file and (found := _mistakes_of_hand(provider, stored)):
                mistakes += found
                continue
            try:
                self._put(connection, provider, keys, stored.get(provider.name), managed_by_file, actor, applied)
            except (KeyRefused, VaultLocked) as error:
                mistakes.append(f"{provider.name}: keys: {error}")
        if mistakes:
            raise ProvidersRefused(mistakes)
        names = {provider.name for provider, _keys in wanted}
        if managed_by_file:
            for name in [n for n, item in stored.items() if item.managed_by_file and n not in names]:
                if removes:
                    self._remove(connection, stored[name], actor)
                    applied.removed.append(name)
                elif stored[name].provider.enabled:
                    self._disable(connection, stored[name], actor)
                    applied.disabled.append(name)
        if applied.created or applied.changed or applied.disabled:
            rows.bump_revision(connection)
        return applied

    def remove(self, name: str, *, actor: str) -> bool:
        """Remove the provider *name* with its keys, and tell whether it existed. Accounts and sessions stay.

        Raises ProvidersRefused if the operator's file defines the provider.
        """
        with self._database.writing() as connection:
            stored = rows.load_one(connection, name, lock=True)
            if stored is None:
                return False
            if stored.managed_by_file:
                raise ProvidersRefused([f"{name}: {MANAGED}"])
            self._remove(connection, stored, actor)
        return True

    def note_use(self, connection: Connection, key_id: int, now: datetime) -> None:
        """Record when a key last verified a token, so that an administrator sees which keys are unused."""
        rows.note_key_use(connection, key_id, now)

    def _remove(self, connection: Connection, stored: StoredProvider, actor: str) -> None:
        rows.remove(connection, stored.provider.name)
        audit.record(connection, actor, "provider removed", stored.provider.name, changes.removed(stored))
        rows.bump_revision(connection)

    def _disable(self, connection: Connection, stored: StoredProvider, actor: str) -> None:
        """Disable a provider, and withdraw the default from it, so that a request without a name finds another."""
        disabled = replace(stored.provider, enabled=False, default=False)
        detail = changes.changed(disabled, stored, [key.fingerprint for key in stored.keys])
        rows.write(connection, disabled, is_new=False, managed_by_file=True)
        audit.record(connection, actor, "provider disabled", disabled.name, detail)

    def _put(
        self,
        connection: Connection,
        provider: Provider,
        keys: Sequence[str],
        stored: StoredProvider | None,
        managed_by_file: bool,
        actor: str,
        applied: Applied,
    ) -> None:
        name = provider.name
        try:
            materials = list(keys) or [self._vault.decrypt(key.sealed) for key in (stored.keys if stored else ())]
        except VaultLocked as locked:
            if not managed_by_file:
                raise
            # The gateway still starts, but without this provider's keys, because local sign-in must remain possible.
            log.error("provider %s stays as it was: %s", name, locked)
            applied.unchanged.append(name)
            return
        if not materials and provider.algorithm in SYMMETRIC:
            applied.generated[name] = generate_key(provider.algorithm)
            materials = [applied.generated[name]]
        if not materials and not provider.jwks_url:
            raise KeyRefused(f"{provider.algorithm} needs a public key, or a JWKS endpoint (jwks_url)")
        key_set = load_key_set(materials, provider.algorithm, allow_short_secret=provider.allow_short_secret)
        fingerprints = [key.fingerprint for key in key_set.keys]

        detail = changes.changed(provider, stored, fingerprints) if stored else changes.created(provider, fingerprints)
        reencryption = stored is not None and not all(self._vault.can_decrypt(key.sealed) for key in stored.keys)
        if stored is not None and not detail and stored.managed_by_file == managed_by_file and not reencryption:
            applied.unchanged.append(name)
            return
        rows.write(connection, provider, is_new=stored is None, managed_by_file=managed_by_file)
        kept = stored.keys if stored else ()
        rows.write_keys(connection, name, kept, dict(zip(fingerprints, materials, strict=True)), self._vault)
        changes.take_default(connection, provider, actor)
        (applied.changed if stored else applied.created).append(name)
        audit.record(connection, actor, "provider changed" if stored else "provider created", name, detail)


def _mistakes_of_hand(provider: Provider, stored: Mapping[str, StoredProvider]) -> list[str]:
    """Return why *provider* cannot be changed by hand: the operator's file defines it, or names another default."""
    if (before := stored.get(provider.name)) is not None and before.managed_by_file:
        return [f"{provider.name}: {MANAGED}"]
    if why := default_of_the_file(stored.values(), provider):
        return [f"{provider.name}: default: {why}"]
    return []


def _read(document: Mapping[str, Any], own: Routes) -> tuple[list[tuple[Provider, list[str]]], list[str]]:
    """Return the providers and key materials of *document*, and the errors in it."""
    found: list[tuple[Provider, list[str]]] = []
    mistakes: list[str] = []
    for name, settings in document.items():
        if not isinstance(settings, Mapping):
            mistakes.append(f"{name}: must be a table")
            continue
        keys = settings.get("keys", [])
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            mistakes.append(f"{name}: keys: must be a list of strings")
            continue
        try:
            found.append((parse_provider(name, settings, own), keys))
        except ProviderRefused as error:
            mistakes += [f"{name}: {setting}: {why}" for setting, why in error.mistakes.items()]
    names = [provider.name for provider, _keys in found]
    doubled = sorted({name for name in names if names.count(name) > 1})
    mistakes += [f"{name}: is named twice" for name in doubled]
    if len(defaults := [provider.name for provider, _keys in found if provider.default]) > 1:
        mistakes.append(f"{', '.join(defaults)}: only one provider can be the default")
    return [(provider, keys) for provider, keys in found if provider.name not in doubled], mistakes
