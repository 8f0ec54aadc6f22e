"""Providers in the database: applied from a file, saved from the settings page, removed; every change is audited.

Keys are sealed on their way in. A change is validated whole before anything is written, and a file that is applied
twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, update

from shared.keys import SYMMETRIC, KeyRefused, generate_key, load_key_set
from shared.vault import Vault
from sp.models import ProviderKey, ProviderRecord, SettingsChange, SettingsRevision
from sp.providers import Provider, ProviderRefused, parse_provider

_provider: Any = ProviderRecord.__table__
_key: Any = ProviderKey.__table__
_revision: Any = SettingsRevision.__table__
_change: Any = SettingsChange.__table__


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


@dataclass(frozen=True)
class StoredKey:
    """A sealed key of a provider."""

    id: int
    sealed: str
    fingerprint: str
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True)
class StoredProvider:
    """A provider as it is kept, its keys newest first."""

    provider: Provider
    managed_by_file: bool
    keys: tuple[StoredKey, ...]


class ProviderStore:
    """Reads and writes providers. *vault* seals their keys."""

    def __init__(self, engine: Engine, vault: Vault) -> None:
        self._engine = engine
        self._writing = engine.execution_options(write=True)
        self._vault = vault

    def revision(self) -> int:
        """Return a number that grows with each change of the settings."""
        with self._engine.connect() as connection:
            return connection.execute(select(_revision.c.revision)).scalar() or 0

    def load(self) -> list[StoredProvider]:
        """Return every provider, by name."""
        with self._engine.connect() as connection:
            return _load(connection)

    def apply(self, document: Mapping[str, Any], *, actor: str, managed_by_file: bool = False) -> Applied:
        """Create or change the providers of *document*, a table of names and settings.

        `keys` left out or empty keeps the stored ones; a new HS provider without any gets one generated. With
        *managed_by_file* the document is the operator's own file: a provider that such a file named before and no
        longer names is removed. Raises ProvidersRefused with every mistake in every provider.
        """
        wanted, mistakes = _read(document)
        applied = Applied()
        with self._writing.begin() as connection:
            stored = {item.provider.name: item for item in _load(connection)}
            for provider, keys in wanted:
                try:
                    self._put(connection, provider, keys, stored.get(provider.name), managed_by_file, actor, applied)
                except KeyRefused as error:
                    mistakes.append(f"{provider.name}: keys: {error}")
            if mistakes:
                raise ProvidersRefused(mistakes)
            names = {provider.name for provider, _keys in wanted}
            if managed_by_file:
                for name in [n for n, item in stored.items() if item.managed_by_file and n not in names]:
                    _delete(connection, name, actor)
                    applied.removed.append(name)
            if applied.created or applied.changed or applied.removed:
                _bump(connection)
        return applied

    def remove(self, name: str, *, actor: str) -> bool:
        """Remove the provider *name* with its keys; tell whether it was there. Accounts and sessions stay."""
        with self._writing.begin() as connection:
            removed = _delete(connection, name, actor)
            if removed:
                _bump(connection)
        return removed

    def note_use(self, connection: Connection, key_id: int, now: datetime) -> None:
        """Record when a key last verified a token, so that a retired one is seen to be unused."""
        connection.execute(update(_key).where(_key.c.id == key_id).values(last_used_at=now))

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
        materials = list(keys) or [self._vault.open(key.sealed) for key in (stored.keys if stored else ())]
        if not materials and provider.algorithm in SYMMETRIC:
            applied.generated[name] = generate_key(provider.algorithm)
            materials = [applied.generated[name]]
        if not materials and not provider.jwks_url:
            raise KeyRefused(f"{provider.algorithm} needs a public key, or a JWKS endpoint (jwks_url)")
        key_set = load_key_set(materials, provider.algorithm, allow_short_secret=provider.allow_short_secret)
        fingerprints = [key.fingerprint for key in key_set.keys]

        now = datetime.now(UTC)
        differences = _differences(provider, stored)
        if stored is not None and [key.fingerprint for key in stored.keys] != fingerprints:
            differences["keys"] = fingerprints
        if stored is None:
            values = {"name": name, "settings": provider.as_settings(), "managed_by_file": managed_by_file}
            connection.execute(insert(_provider), values | {"created_at": now, "updated_at": now})
            applied.created.append(name)
        elif differences or stored.managed_by_file != managed_by_file:
            values = {"settings": provider.as_settings(), "managed_by_file": managed_by_file, "updated_at": now}
            connection.execute(update(_provider).where(_provider.c.name == name).values(values))
            applied.changed.append(name)
        else:
            applied.unchanged.append(name)
            return
        self._put_keys(connection, name, stored, dict(zip(fingerprints, materials, strict=True)), now)
        if provider.default:
            _withdraw_default(connection, except_for=name)
        _audit(connection, actor, "provider changed" if stored else "provider created", name, differences)

    def _put_keys(
        self,
        connection: Connection,
        name: str,
        stored: StoredProvider | None,
        materials: Mapping[str, str],
        now: datetime,
    ) -> None:
        """Make the stored keys those of *materials* (by fingerprint, newest first); a key that stays keeps its row."""
        known = {key.fingerprint: key.id for key in (stored.keys if stored else ())}
        connection.execute(
            delete(_key).where(
                _key.c.id.in_([row for fingerprint, row in known.items() if fingerprint not in materials])
            )
        )
        for position, (fingerprint, material) in enumerate(materials.items()):
            if fingerprint in known:
                connection.execute(update(_key).where(_key.c.id == known[fingerprint]).values(position=position))
                continue
            values = {"provider": name, "position": position, "fingerprint": fingerprint, "created_at": now}
            connection.execute(insert(_key), values | {"sealed": self._vault.seal(material)})


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
    mistakes += [f"{name}: is named twice" for name in {n for n in names if names.count(n) > 1}]
    if len(defaults := [provider.name for provider, _keys in found if provider.default]) > 1:
        mistakes.append(f"{', '.join(defaults)}: only one provider can be the default")
    return found, mistakes


def _load(connection: Connection) -> list[StoredProvider]:
    records = connection.execute(select(_provider).order_by(_provider.c.name)).all()
    keys = connection.execute(select(_key).order_by(_key.c.position)).all()
    return [
        StoredProvider(
            parse_provider(record.name, record.settings),
            record.managed_by_file,
            tuple(
                StoredKey(key.id, key.sealed, key.fingerprint, key.created_at, key.last_used_at)
                for key in keys
                if key.provider == record.name
            ),
        )
        for record in records
    ]


def _differences(provider: Provider, stored: StoredProvider | None) -> dict[str, Any]:
    """Return the settings that are new or differ, for the audit trail. There is no secret among them."""
    before = stored.provider.as_settings() if stored else {}
    return {name: value for name, value in provider.as_settings().items() if before.get(name, ...) != value}


def _withdraw_default(connection: Connection, *, except_for: str) -> None:
    """Only one provider is the default: the one chosen last."""
    for record in connection.execute(select(_provider).where(_provider.c.name != except_for)).all():
        if record.settings.get("default"):
            settings = {**record.settings, "default": False}
            connection.execute(update(_provider).where(_provider.c.name == record.name).values(settings=settings))


def _delete(connection: Connection, name: str, actor: str) -> bool:
    connection.execute(delete(_key).where(_key.c.provider == name))
    removed = connection.execute(delete(_provider).where(_provider.c.name == name)).rowcount > 0
    if removed:
        _audit(connection, actor, "provider removed", name, {})
    return removed


def _bump(connection: Connection) -> None:
    if connection.execute(update(_revision).values(revision=_revision.c.revision + 1)).rowcount == 0:
        connection.execute(insert(_revision), {"id": 1, "revision": 1})


def _audit(connection: Connection, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> None:
    values = {"at": datetime.now(UTC), "actor": actor, "action": action, "subject": subject, "detail": dict(detail)}
    connection.execute(insert(_change), values)
