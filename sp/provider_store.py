"""Providers in the database: applied from a file, saved from the settings page, removed; every change is audited.

Keys are sealed on their way in. A change is validated whole before anything is written, and a file that is applied
twice changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from shared.errors import StoreUnavailable
from shared.keys import SYMMETRIC, KeyRefused, generate_key, load_key_set
from shared.schema import lock_for_transaction
from shared.vault import Vault, VaultLocked
from sp import audit
from sp import provider_rows as rows
from sp.provider_rows import StoredProvider as StoredProvider  # handed out by `load`
from sp.providers import Provider, ProviderRefused, parse_provider

SETTINGS_LOCK = 0x73657474  # "sett": nodes that start at once apply the same file one after another
UNORDERED = ("deliveries", "required_claims", "email_domains")  # lists whose order means nothing

log = logging.getLogger("lychgate")


class ProvidersRefused(ValueError):
    """Providers that cannot be applied; `mistakes` has a line for each. Nothing was changed."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = list(mistakes)
        super().__init__("\n".join(mistakes))


@dataclass
class Applied:
    """What a change did: names of providers, and new keys, to be shown once, by name."""

    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    generated: dict[str, str] = field(default_factory=dict)


class ProviderStore:
    """Reads and writes providers. *vault* seals their keys."""

    def __init__(self, engine: Engine, vault: Vault) -> None:
        self._engine = engine
        self._writing = engine.execution_options(write=True)
        self._vault = vault

    def revision(self) -> int:
        """Return a number that grows with each change of the settings. Raises StoreUnavailable."""
        with self._reading() as connection:
            return rows.revision(connection)

    def load(self) -> list[StoredProvider]:
        """Return every provider, by name. Raises StoreUnavailable."""
        with self._reading() as connection:
            return rows.load_all(connection)

    def apply(self, document: Mapping[str, Any], *, actor: str, managed_by_file: bool = False) -> Applied:
        """Create or change the providers of *document*, a table of names and settings.

        `keys` left out or empty keeps the stored ones; a new HS provider without any gets one generated. With
        *managed_by_file* the document is the operator's own file: a provider that such a file named before and no
        longer names is removed. Raises ProvidersRefused with every mistake in every provider.
        """
        wanted, mistakes = _read(document)
        applied = Applied()
        with self._writing.begin() as connection:
            lock_for_transaction(connection, SETTINGS_LOCK)
            stored = {item.provider.name: item for item in rows.load_all(connection)}
            for provider, keys in wanted:
                try:
                    self._put(connection, provider, keys, stored.get(provider.name), managed_by_file, actor, applied)
                except (KeyRefused, VaultLocked) as error:
                    mistakes.append(f"{provider.name}: keys: {error}")
            if mistakes:
                raise ProvidersRefused(mistakes)
            names = {provider.name for provider, _keys in wanted}
            if managed_by_file:
                for name in [n for n, item in stored.items() if item.managed_by_file and n not in names]:
                    rows.remove(connection, name)
                    audit.record(connection, actor, "provider removed", name)
                    applied.removed.append(name)
            if applied.created or applied.changed or applied.removed:
                rows.bump_revision(connection)
        return applied

    def remove(self, name: str, *, actor: str) -> bool:
        """Remove the provider *name* with its keys; tell whether it was there. Accounts and sessions stay."""
        with self._writing.begin() as connection:
            removed = rows.remove(connection, name)
            if removed:
                audit.record(connection, actor, "provider removed", name)
                rows.bump_revision(connection)
        return removed

    def note_use(self, connection: Connection, key_id: int, now: datetime) -> None:
        """Record when a key last verified a token, so that a retired one is seen to be unused."""
        rows.note_key_use(connection, key_id, now)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreUnavailable(f"the database did not answer: {type(error).__name__}") from error

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
            materials = list(keys) or [self._vault.open(key.sealed) for key in (stored.keys if stored else ())]
        except VaultLocked as locked:
            if not managed_by_file:
                raise
            # The gateway starts all the same, without this provider's keys: local sign-in must remain possible.
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

        changes = differences(provider, stored)
        if stored is not None and [key.fingerprint for key in stored.keys] != fingerprints:
            changes["keys"] = [[key.fingerprint for key in stored.keys], fingerprints]
        resealing = stored is not None and not all(self._vault.opens(key.sealed) for key in stored.keys)
        if stored is not None and not changes and stored.managed_by_file == managed_by_file and not resealing:
            applied.unchanged.append(name)
            return
        rows.write(connection, provider, is_new=stored is None, managed_by_file=managed_by_file)
        kept = stored.keys if stored else ()
        rows.write_keys(connection, name, kept, dict(zip(fingerprints, materials, strict=True)), self._vault)
        if provider.default:
            rows.withdraw_default(connection, except_for=name)
        (applied.changed if stored else applied.created).append(name)
        audit.record(connection, actor, "provider changed" if stored else "provider created", name, changes)


def _read(document: Mapping[str, Any]) -> tuple[list[tuple[Provider, list[str]]], list[str]]:
    """Return the providers and key materials of *document*, and the mistakes in it."""
    found: list[tuple[Provider, list[str]]] = []
    mistakes: list[str] = []
    for name, settings in document.items():
        if not isinstance(settings, Mapping):
            mistakes.append(f"{name}: must be a table")
            continue
        keys = settings.get("keys", [])
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            mistakes.append(f"{name}: keys: must be a list of texts")
            continue
        try:
            found.append((parse_provider(name, settings), keys))
        except ProviderRefused as error:
            mistakes += [f"{name}: {setting}: {why}" for setting, why in error.mistakes.items()]
    names = [provider.name for provider, _keys in found]
    doubled = sorted({name for name in names if names.count(name) > 1})
    mistakes += [f"{name}: is named twice" for name in doubled]
    if len(defaults := [provider.name for provider, _keys in found if provider.default]) > 1:
        mistakes.append(f"{', '.join(defaults)}: only one provider can be the default")
    return [(provider, keys) for provider, keys in found if provider.name not in doubled], mistakes


def differences(provider: Provider, stored: StoredProvider | None) -> dict[str, Any]:
    """Return [before, after] of each setting that differs, for the audit trail. There is no secret among them."""
    if stored is None:
        return {"preset": [None, provider.preset], "algorithm": [None, provider.algorithm]}
    before, after = _flat(stored.settings), _flat(provider.as_settings())
    return {
        name: [before.get(name), after.get(name)]
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name) and not _is_reordered(name, before.get(name), after.get(name))
    }


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return *settings* with tables taken apart, and without the fields of a mapping that are not wanted."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{part}": inner for part, inner in value.items() if inner != "" or name != "mapping"}
        else:
            flat[name] = value
    return flat


def _is_reordered(name: str, before: Any, after: Any) -> bool:
    return name in UNORDERED and set(before or ()) == set(after or ())
