"""Read and write the rows of a provider and its keys within the caller's transaction.

`sp.providers.apply` (for files and the command line) and `sp.providers.edit` (for the settings page) validate changes,
and decide who may make them.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from shared.clock import utc_now
from shared.vault import Vault
from sp.database.models import Account, ProviderKey, ProviderRecord, SettingsRevision
from sp.providers.provider import Provider
from sp.providers.setting_reader import ProviderRefused
from sp.providers.settings_parser import parse_provider

MANAGED = (
    "is managed by the file that SP_CONFIG names: change it there. What the file no longer has is disabled, and "
    "removed when the gateway starts again"
)

log = logging.getLogger("lychgate")

_provider: Any = ProviderRecord.__table__
_key: Any = ProviderKey.__table__
_account: Any = Account.__table__
_revision: Any = SettingsRevision.__table__


@dataclass(frozen=True)
class StoredKey:
    """An encrypted key of a provider."""

    id: int
    sealed: str
    fingerprint: str
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True)
class StoredProvider:
    """A provider as it is stored. Of its `keys`, the first one that can sign signs.

    An older version may have stored settings that this version rejects. Then `mistakes` has the errors, and the
    provider is disabled.
    """

    provider: Provider
    managed_by_file: bool
    keys: tuple[StoredKey, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    mistakes: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """A short text that differs after every change. It shows whether two people edit at the same time."""
        content = [dict(self.settings), [key.fingerprint for key in self.keys], self.managed_by_file]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def default_of_the_file(everyone: Iterable[StoredProvider], provider: Provider) -> str:
    """Return why *provider* cannot become the default, or "". It cannot if the operator's file names another one."""
    for other in everyone if provider.default else ():
        if other.managed_by_file and other.provider.default and other.provider.name != provider.name:
            return f"{other.provider.name} is the default, by the file SP_CONFIG: change it there"
    return ""


def load_all(connection: Connection) -> list[StoredProvider]:
    """Return every provider, by name."""
    records = connection.execute(select(_provider).order_by(_provider.c.name)).all()
    keys = connection.execute(select(_key).order_by(_key.c.provider, _key.c.position)).all()
    return [_stored(record, [key for key in keys if key.provider == record.name]) for record in records]


def load_one(connection: Connection, name: str, *, lock: bool = False) -> StoredProvider | None:
    """Return the provider *name*, or None. *lock* prevents other changes to it until the transaction ends."""
    query = select(_provider).where(_provider.c.name == name)
    record = connection.execute(query.with_for_update() if lock else query).first()
    if record is None:
        return None
    keys = connection.execute(select(_key).where(_key.c.provider == name).order_by(_key.c.position)).all()
    return _stored(record, keys)


def write(connection: Connection, provider: Provider, *, is_new: bool, managed_by_file: bool) -> None:
    """Insert or update the settings of *provider*.

    A provider can name a group whose members are administrators. If the provider is disabled, or names another group
    than before, the present members lose this right. Members of the other group get the right at their next sign-in.
    """
    now = utc_now()
    values = {"settings": provider.as_settings(), "managed_by_file": managed_by_file, "updated_at": now}
    if is_new:
        connection.execute(insert(_provider), values | {"name": provider.name, "created_at": now})
        return
    before = granted_group(connection, provider.name)
    connection.execute(update(_provider).where(_provider.c.name == provider.name).values(values))
    if before and before != (provider.admin_group if provider.enabled else ""):
        withdraw_administrators(connection, provider.name)


def write_keys(
    connection: Connection, name: str, stored: Sequence[StoredKey], wanted: Mapping[str, str | None], vault: Vault
) -> None:
    """Replace the keys of the provider *name* with *wanted*: the key material by fingerprint, in the new order.

    If a key is already stored, its row stays, and its material may be None.
    """
    rows = {key.fingerprint: key.id for key in stored}
    gone = [row for fingerprint, row in rows.items() if fingerprint not in wanted]
    connection.execute(delete(_key).where(_key.c.id.in_(gone)))
    now = utc_now()
    for position, (fingerprint, material) in enumerate(wanted.items()):
        if fingerprint in rows:
            # Encrypt the key material again: the secret key that encrypted the old row may be lost.
            changes = {"position": position} | ({"sealed": vault.encrypt(material)} if material is not None else {})
            connection.execute(update(_key).where(_key.c.id == rows[fingerprint]).values(changes))
        elif material is None:
            raise ValueError(f"there is no stored key {fingerprint}, and no material for it")
        else:
            values = {"provider": name, "position": position, "fingerprint": fingerprint, "created_at": now}
            connection.execute(insert(_key), values | {"sealed": vault.encrypt(material)})


def note_key_use(connection: Connection, key_id: int, now: datetime) -> None:
    """Record when a key last verified a token."""
    connection.execute(update(_key).where(_key.c.id == key_id).values(last_used_at=now))


def withdraw_default(connection: Connection, *, except_for: str) -> list[str]:
    """Withdraw the default from all providers except *except_for*. Return the names of those that were the default."""
    withdrawn = []
    for record in connection.execute(select(_provider).where(_provider.c.name != except_for)).all():
        if record.settings.get("default"):
            settings = {**record.settings, "default": False}
            connection.execute(update(_provider).where(_provider.c.name == record.name).values(settings=settings))
            withdrawn.append(record.name)
    return withdrawn


def granted_group(connection: Connection, name: str, *, lock: bool = False) -> str:
    """Return the group whose members the provider *name* makes administrators, as stored now, or "".

    With *lock*, the settings cannot change until the transaction ends. If another transaction is changing them at this
    moment, return "" without waiting. If the caller waited, there would be a deadlock, because the other transaction
    waits for an account that the caller has locked.
    """
    query = select(_provider.c.settings).where(_provider.c.name == name)
    if lock:
        query = query.with_for_update(read=True, skip_locked=True)
    settings = connection.execute(query).scalar() or {}
    return str(settings.get("admin_group", "")) if settings.get("enabled") is True else ""


def withdraw_administrators(connection: Connection, name: str) -> None:
    """Remove the right from all people who are administrators through a group of the provider *name*.

    The caller must have locked the provider's row.
    """
    connection.execute(update(_account).where(_account.c.admin_through == name).values(admin_through=None))


def remove(connection: Connection, name: str) -> bool:
    """Delete the provider *name* with its keys, and tell whether it existed."""
    connection.execute(delete(_key).where(_key.c.provider == name))
    removed = connection.execute(delete(_provider).where(_provider.c.name == name)).rowcount > 0
    withdraw_administrators(connection, name)
    return removed


def revision(connection: Connection) -> int:
    """Return how many changes of settings have been counted."""
    return connection.execute(select(_revision.c.revision)).scalar() or 0


def bump_revision(connection: Connection) -> None:
    """Count a change, so that every worker notices it."""
    if connection.execute(update(_revision).values(revision=_revision.c.revision + 1)).rowcount == 0:
        connection.execute(insert(_revision), {"id": 1, "revision": 1})


def _stored(record: Any, keys: Sequence[Any]) -> StoredProvider:
    sealed = tuple(StoredKey(key.id, key.sealed, key.fingerprint, key.created_at, key.last_used_at) for key in keys)
    try:
        provider = parse_provider(record.name, record.settings)
    except ProviderRefused as error:
        log.error("provider %s is out of use, its stored settings are refused: %s", record.name, error)
        broken = Provider(record.name, display_name=str(record.settings.get("display_name", "")), enabled=False)
        return StoredProvider(broken, record.managed_by_file, sealed, record.settings, error.mistakes)
    return StoredProvider(provider, record.managed_by_file, sealed, record.settings)
