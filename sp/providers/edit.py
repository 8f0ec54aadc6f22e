"""Apply changes from the settings page, to one provider at a time. Validate each change as a whole, and audit it.

If two administrators edit at the same time, they cannot overwrite each other's settings without noticing: a change that
saves settings or adds a key names the version that it is based on, and is rejected if that version is no longer
current. A provider from the operator's file can be changed only in that file. This module encrypts keys. A generated
key is returned once, and no stored key is shown again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from shared.errors import ProviderUnknown
from shared.vault import Vault
from sp.activity import audit
from sp.database.access import Database
from sp.providers import changes, rows
from sp.providers.keys import JudgedKey, NewKey, judge, keys_after, new_key
from sp.providers.provider import Provider
from sp.providers.rows import StoredKey, StoredProvider
from sp.providers.setting_reader import ProviderRefused
from sp.providers.settings_parser import parse_name, parse_provider
from sp.routes import Routes

MAX_JUDGED = 1000  # keys whose validation is cached


class ManagedByFile(Exception):
    """The operator's file (SP_CONFIG) defines the provider, so it can be changed only in that file."""


class ChangedMeanwhile(Exception):
    """Another administrator has changed the provider since the page was opened. `stored` is its current state."""

    def __init__(self, stored: StoredProvider) -> None:
        self.stored = stored
        super().__init__(f"the provider {stored.provider.name} was changed meanwhile")


class ProviderEditor:
    """Creates, changes and removes providers for *actor*, who is named in the audit trail.

    *vault* encrypts their keys. *own* are the gateway's URLs. *changed* is called after each commit, so that this
    process uses the change at once.
    """

    def __init__(self, database: Database, vault: Vault, own: Routes, changed: Callable[[], None]) -> None:
        self._database = database
        self._vault = vault
        self._own = own
        self._changed = changed
        self._judged: dict[tuple[str, str, bool], tuple[bool, str]] = {}

    def find(self, name: str) -> StoredProvider:
        """Return the stored provider *name*, or raise ProviderUnknown."""
        with self._database.reading() as connection:
            return _known(rows.load_one(connection, name), name)

    def create(self, name: str, settings: Mapping[str, Any], material: str, *, actor: str) -> tuple[Provider, str]:
        """Create a provider. Return it, and the generated key to show once ("" if none was generated).

        If *material* is empty and there is no JWKS endpoint, a key is generated. Raises ProviderRefused with every
        error, by setting.
        """
        mistakes: dict[str, str] = {}
        try:
            name = parse_name(name)
        except ProviderRefused as error:
            mistakes |= error.mistakes
            name = "new"
        provider = _parse(name, settings, self._own, mistakes)
        key = new_key(provider, material, mistakes) if material or not provider.jwks_url else None
        with self._database.writing() as connection:
            if "name" not in mistakes and rows.load_one(connection, name) is not None:
                mistakes["name"] = f"the provider {name} already exists"
            self._check_default(connection, provider, mistakes)
            if mistakes:
                raise ProviderRefused(mistakes)
            rows.write(connection, provider, is_new=True, managed_by_file=False)
            if key is not None:
                rows.write_keys(connection, name, (), {key.key.fingerprint: key.material}, self._vault)
            changes.take_default(connection, provider, actor)
            rows.bump_revision(connection)
            detail = changes.created(provider, [key.key.fingerprint] if key else [])
            audit.record(connection, actor, "provider created", name, detail)
        self._changed()
        return provider, key.shown_once if key else ""

    def save(self, name: str, settings: Mapping[str, Any], material: str, *, version: str, actor: str) -> Provider:
        """Change the settings of a provider, and return the provider. If *material* is not empty, add this key.

        If the algorithm changes, the stored keys stay only if they fit the new algorithm. If they do not fit,
        *material* or a JWKS endpoint must replace them. Raises ProviderRefused with every error, ChangedMeanwhile,
        ManagedByFile, ProviderUnknown.
        """
        with self._editing(name, version) as (connection, stored):
            mistakes: dict[str, str] = {}
            provider = _parse(name, settings, self._own, mistakes)
            new = new_key(provider, material, mistakes) if material else None
            keys: dict[str, str | None] = {key.fingerprint: None for key in stored.keys}
            if "keys" not in mistakes and "algorithm" not in mistakes:
                keys = keys_after(self._vault, provider, stored, new, mistakes)
            self._check_default(connection, provider, mistakes)
            if mistakes:
                raise ProviderRefused(mistakes)
            detail = changes.changed(provider, stored, list(keys))
            rows.write(connection, provider, is_new=False, managed_by_file=False)
            rows.write_keys(connection, name, stored.keys, keys, self._vault)
            changes.take_default(connection, provider, actor)
            if detail:
                audit.record(connection, actor, "provider changed", name, detail)
        return provider

    def switch(self, name: str, enabled: bool, *, actor: str) -> Provider:
        """Enable or disable a provider, and return it."""
        with self._editing(name) as (connection, stored):
            if stored.mistakes:
                raise ProviderRefused(stored.mistakes)
            provider = replace(stored.provider, enabled=enabled)
            if provider != stored.provider:
                rows.write(connection, provider, is_new=False, managed_by_file=False)
                audit.record(connection, actor, "provider enabled" if enabled else "provider disabled", name)
        return provider

    def add_key(self, name: str, material: str, *, version: str, actor: str) -> NewKey:
        """Add a key at the end. If *material* is empty, generate one. The key verifies at once, but does not sign yet.

        The identity provider must get the key only after this call, so that no sign-in is rejected in between. If no
        stored key can sign, the new key can sign at once. If the provider has a JWKS endpoint, only the endpoint's keys
        verify. Raises ProviderRefused, ChangedMeanwhile, ManagedByFile, ProviderUnknown.
        """
        with self._editing(name, version) as (connection, stored):
            mistakes: dict[str, str] = {}
            new = new_key(stored.provider, material, mistakes)
            keys = keys_after(self._vault, stored.provider, stored, new, mistakes) if new else {}
            if new is None or mistakes:
                raise ProviderRefused(mistakes)
            rows.write_keys(connection, name, stored.keys, keys, self._vault)
            audit.record(connection, actor, "key added", name, {"keys": [None, new.key.fingerprint]})
        return new

    def retire_key(self, name: str, fingerprint: str, *, actor: str) -> None:
        """Remove a key.

        If the provider has no JWKS endpoint, its last key cannot be removed, because then it could sign no one in.
        """
        with self._editing(name) as (connection, stored):
            kept = [key for key in stored.keys if key.fingerprint != fingerprint]
            if len(kept) == len(stored.keys):
                return
            if not kept and not stored.provider.jwks_url:
                raise ProviderRefused({"keys": "the last key stays: add another key first, or disable the provider"})
            wanted: dict[str, str | None] = {key.fingerprint: None for key in kept}
            rows.write_keys(connection, name, stored.keys, wanted, self._vault)
            audit.record(connection, actor, "key retired", name, {"keys": [fingerprint, None]})

    def sign_with(self, name: str, fingerprint: str, *, actor: str) -> None:
        """Put a key first. The first key that can sign signs the sign-out tokens for its logout URL."""
        with self._editing(name) as (connection, stored):
            order = sorted((key.fingerprint for key in stored.keys), key=lambda one: one != fingerprint)
            if not order or order[0] != fingerprint or stored.keys[0].fingerprint == fingerprint:
                return
            wanted: dict[str, str | None] = dict.fromkeys(order)
            rows.write_keys(connection, name, stored.keys, wanted, self._vault)
            audit.record(connection, actor, "signing key chosen", name, {"keys": [order[1], fingerprint]})

    def remove(self, name: str, *, actor: str) -> None:
        """Remove a provider with its keys. Accounts and their ids at the provider stay."""
        with self._editing(name) as (connection, stored):
            rows.remove(connection, name)
            audit.record(connection, actor, "provider removed", name, changes.removed(stored))

    def judge_keys(self, stored: StoredProvider) -> list[JudgedKey]:
        """Return the keys of *stored*, each with its error."""
        return [self._judge(key, stored.provider) for key in stored.keys]

    def _judge(self, key: StoredKey, provider: Provider) -> JudgedKey:
        """Validate a key, and cache the result, because loading one key takes longer than the rest of the page."""
        case = (key.sealed, provider.algorithm, provider.allow_short_secret)
        if case not in self._judged:
            if len(self._judged) >= MAX_JUDGED:
                self._judged.clear()
            found = judge(self._vault, key, provider)
            self._judged[case] = found.usable, found.problem
        return JudgedKey(key, *self._judged[case])

    @contextmanager
    def _editing(self, name: str, version: str | None = None) -> Iterator[tuple[Connection, StoredProvider]]:
        """Run the block in a transaction that locks the provider against other changes.

        After the block, count a change of the settings, commit, and call *changed*.
        """
        with self._database.writing() as connection:
            stored = _known(rows.load_one(connection, name, lock=True), name)
            if stored.managed_by_file:
                raise ManagedByFile
            if version is not None and version != stored.version:
                raise ChangedMeanwhile(stored)
            yield connection, stored
            rows.bump_revision(connection)
        self._changed()

    def _check_default(self, connection: Connection, provider: Provider, mistakes: dict[str, str]) -> None:
        if provider.default and (why := rows.default_of_the_file(rows.load_all(connection), provider)):
            mistakes["default"] = why


def _parse(name: str, settings: Mapping[str, Any], own: Routes, mistakes: dict[str, str]) -> Provider:
    """Return the provider of *settings*. If *settings* have errors, return a provider with which keys can be checked.

    So the keys' errors are reported together with those of the settings.
    """
    try:
        return parse_provider(name, settings, own)
    except ProviderRefused as error:
        mistakes |= error.mistakes
        algorithm, jwks_url = settings.get("algorithm", "HS256"), settings.get("jwks_url", "")
        short = settings.get("allow_short_secret") is True
        return Provider(name, algorithm=algorithm, jwks_url=jwks_url, allow_short_secret=short)


def _known(stored: StoredProvider | None, name: str) -> StoredProvider:
    if stored is None:
        raise ProviderUnknown(f"the provider {name[:60]} does not exist")
    return stored
