"""Store services and their encrypted keys in the database. This is the default registry.

One key of a service signs at a time. `rotate` does not interrupt sign-in: the new key is published, or entered at the
service, before it signs, and the old key stays published and accepted for some time afterwards. New keys in a services
file replace the old ones at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from idp.models import ServiceKeyRow, ServiceRow, db, writing
from idp.services import Service, ServiceKey, ServiceUnknown, with_keys
from idp.services_file import ServiceDefinition, parse_service
from shared.keys import TokenKey, generate_key, load_key
from shared.schema import lock_for_transaction
from shared.vault import Vault

SIGN_AFTER = 600  # seconds until a new key signs: twice as long as caches keep our published keys
SERVICES_LOCK = 0x73657276  # "serv": nodes that start together apply the same file one after another
ACCEPT_AFTER = 86_400  # seconds for which the old key stays valid after the new one signs


class RotationRefused(ValueError):
    """The keys of this service are kept in a file, where they must be changed."""


class SqlRegistry:
    """Services in the tables `services` and `service_keys`.

    *built_in* returns a service that is not stored in the database (the demo's), or None.
    """

    def __init__(
        self,
        vault: Vault,
        now: Callable[[], datetime],
        built_in: Callable[[], Service | None] = lambda: None,
    ) -> None:
        self._vault = vault
        self._now = now
        self._built_in = built_in
        self._load_key = lru_cache(maxsize=256)(self._open_key)
        self._parse = lru_cache(maxsize=256)(self._open_definition)

    def find(self, name: str) -> Service:
        """Return the service, or raise ServiceUnknown."""
        if "\0" in name:
            raise ServiceUnknown(name)  # PostgreSQL would reject the query
        row = db.session.get(ServiceRow, name)
        if row is not None:
            return self._service(row)
        built_in = self._built_in()
        if built_in is None or built_in.name != name:
            raise ServiceUnknown(name)
        return built_in

    def all(self) -> Sequence[Service]:
        """Return every service, ordered by name."""
        found = {row.name: self._service(row) for row in db.session.scalars(select(ServiceRow))}
        built_in = self._built_in()
        if built_in is not None:
            found.setdefault(built_in.name, built_in)
        return [found[name] for name in sorted(found)]

    def managed(self) -> set[str]:
        """Return the names of the services that IDP_CONFIG defines."""
        return set(db.session.scalars(select(ServiceRow.name).where(ServiceRow.managed)))

    def apply(self, definitions: Mapping[str, ServiceDefinition], *, managed: bool = False) -> dict[str, str]:
        """Store *definitions*. Generate a key for each service that has none, and return these keys.

        Storing the same definitions again makes no change. If *managed* is true, *definitions* are all services of
        IDP_CONFIG, and services that IDP_CONFIG no longer defines are removed.
        """
        made: dict[str, str] = {}
        with writing() as session:
            lock_for_transaction(session.connection(), SERVICES_LOCK)
            if managed:
                for row in session.scalars(select(ServiceRow).where(ServiceRow.managed)):
                    if row.name not in definitions:
                        session.delete(row)
                session.flush()
            for name, definition in definitions.items():
                row = session.get(ServiceRow, name) or ServiceRow(name=name)
                row.definition = self._sealed(definition.table)
                row.managed = managed
                row.keys_given = bool(definition.key_materials)
                session.add(row)
                material = self._set_keys(row, definition)
                if material:
                    made[name] = material
        return made

    def remove(self, name: str) -> None:
        """Delete the service and its keys, or raise ServiceUnknown."""
        with writing() as session:
            row = session.get(ServiceRow, name)
            if row is None:
                raise ServiceUnknown(name)
            session.delete(row)

    def rotate(self, name: str, *, sign_after: int = SIGN_AFTER, accept_after: int = ACCEPT_AFTER) -> str:
        """Give the service a new key that signs *sign_after* seconds from now; return its material.

        The key that was the newest until now is accepted for another *accept_after* seconds after that. Keys that were
        replaced earlier keep their end. A later rotation deletes keys that are no longer accepted. Raises
        ServiceUnknown, and RotationRefused if the services file has the keys.
        """
        with writing() as session:
            row = session.get(ServiceRow, name)
            if row is None:
                raise ServiceUnknown(name)
            if row.keys_given:
                raise RotationRefused(
                    f"the keys of {name} are in the services file: put the new one first there, keep the old one "
                    "behind it, and apply the file once the service knows both"
                )
            algorithm = self._service(row).algorithm
            now = self._now()
            signs_from = now + timedelta(seconds=sign_after)
            self._drop_old_keys(session, row, now)
            for key in row.keys:
                key.accepted_until = key.accepted_until or signs_from + timedelta(seconds=accept_after)
            material = generate_key(algorithm)
            self._add_key(row, material, algorithm, signs_from)
            return material

    def _set_keys(self, row: ServiceRow, definition: ServiceDefinition) -> str | None:
        """Store the keys of *definition*; return the material of a generated key."""
        algorithm = definition.service.algorithm
        row.keys = [key for key in row.keys if key.algorithm == algorithm]
        if not definition.key_materials:
            if row.keys:
                return None
            material = generate_key(algorithm)
            self._add_key(row, material, algorithm, self._now())
            return material
        stored = [self._vault.decrypt(key.sealed) if self._vault.can_decrypt(key.sealed) else None for key in row.keys]
        if stored != list(definition.key_materials):
            row.keys = []
            db.session.flush()
            for material in reversed(definition.key_materials):  # the file has the newest first
                self._add_key(row, material, algorithm, self._now())
        return None

    def _add_key(self, row: ServiceRow, material: str, algorithm: str, signs_from: datetime) -> None:
        position = max((key.position for key in row.keys), default=0) + 1
        row.keys.insert(
            0,
            ServiceKeyRow(
                position=position,
                sealed=self._vault.encrypt(material),
                algorithm=algorithm,
                signs_from=signs_from,
                accepted_until=None,
            ),
        )

    def _drop_old_keys(self, session: Session, row: ServiceRow, now: datetime) -> None:
        row.keys = [key for key in row.keys if key.accepted_until is None or key.accepted_until > now]
        session.flush()

    def _service(self, row: ServiceRow) -> Service:
        service = self._parse(row.name, json.dumps(row.definition))
        keys = [
            ServiceKey(
                self._load_key(key.sealed, key.algorithm, service.allow_short_secret),
                key.signs_from,
                key.accepted_until,
            )
            for key in row.keys
        ]
        return with_keys(service, keys)

    def _sealed(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return *table* with its `logout_keys` encrypted, because they may be secrets."""
        given = table.get("logout_keys")
        return {**table, "logout_keys": [self._vault.encrypt(key) for key in given]} if given else dict(table)

    def _open_definition(self, name: str, definition: str) -> Service:
        """Return the service in a stored entry, without its keys. It is cached, because every request needs it."""
        table = json.loads(definition)
        if "logout_keys" in table:
            table["logout_keys"] = [self._vault.decrypt(sealed) for sealed in table["logout_keys"]]
        return parse_service(name, table).service

    def _open_key(self, sealed: str, algorithm: str, allow_short_secret: bool) -> TokenKey:
        """Return the decrypted key. It is cached, because validating a private key takes tens of milliseconds."""
        return load_key(self._vault.decrypt(sealed), algorithm, allow_short_secret=allow_short_secret)
