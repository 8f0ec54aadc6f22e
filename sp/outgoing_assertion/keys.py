"""Store and rotate the keys of the identity assertion. They are encrypted in the database, which all nodes share.

A new key is published first, and signs an hour later. So verifiers know the key before they get an assertion that it
signed. But if there is no other key, it signs at once. The previous key stays published for at least an hour more. To
sign, a worker reads the keys from the database at most once a minute. To publish them, it reads them each time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, text

from shared.clock import utc_now
from shared.keys import TokenKey, generate_key, load_key
from shared.tokens import ASSERTION_TYPE, sign
from shared.vault import Vault, VaultLocked
from sp.database.access import Database
from sp.database.models import AssertionKey
from sp.outgoing_assertion.claims import ALGORITHM, KeyAge, needs_new_key, outlived, signing_key

REFRESH = 60  # seconds for which a worker uses a key without reading the database
LOCK_KEY = 0x61737274  # "asrt"; on PostgreSQL, it prevents two nodes that start at the same time from creating two keys

log = logging.getLogger("lychgate")
_table: Any = AssertionKey.__table__


class AssertionKeys:
    """Signs assertions, publishes the public keys, and rotates the keys."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault
        self._current: TokenKey | None = None
        self._asked_at = float("-inf")

    def sign(self, claims: Mapping[str, Any], key: TokenKey | None = None) -> str:
        """Return *claims* as an assertion signed with *key*, or with the key from the database.

        Raises StoreUnavailable.
        """
        key = key or self.known_key()
        if key is None:
            now = time.monotonic()
            key = self._current = self._choose()
            self._asked_at = now
        return sign(claims, key, typ=ASSERTION_TYPE, kid=True)

    def known_key(self) -> TokenKey | None:
        """Return the key that signs. If it must first be read from the database, return None."""
        return self._current if time.monotonic() - self._asked_at < REFRESH else None

    def published(self) -> list[dict[str, Any]]:
        """Return as JWKs the public keys that sign now, will sign soon, or have signed assertions that may be valid."""
        self._choose()
        return [key.public_jwk() for _age, key in self._load()]

    def all(self) -> list[tuple[KeyAge, bool]]:
        """Return each key, oldest first, and whether it signs now."""
        ages = [age for age, _key in self._load()]
        current = signing_key(ages, utc_now())
        return [(age, age == current) for age in ages]

    def rotate(self) -> str:
        """Create a new key now, and return its name. It begins to sign when every verifier can know it."""
        with self._database.writing() as connection:
            return self._make(connection, utc_now())

    def _choose(self) -> TokenKey:
        """Return the key that signs now. Before that, create a key if one is due, and delete keys that are outlived."""
        now = utc_now()
        found = self._load()
        ages = [age for age, _key in found]
        if needs_new_key(ages, now) or outlived(ages, now):
            self._tend(now)
            found = self._load()
            ages = [age for age, _key in found]
        current = signing_key(ages, now)
        return next(key for age, key in found if age == current)

    def _tend(self, now: datetime) -> None:
        with self._database.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
            ages = [age for age, _key in self._read(connection)]
            if needs_new_key(ages, now):
                self._make(connection, now)
            gone = [age.kid for age in outlived(ages, now)]
            connection.execute(delete(_table).where(_table.c.kid.in_(gone)))

    def _make(self, connection: Connection, now: datetime) -> str:
        material = generate_key(ALGORITHM)
        kid: str = load_key(material, ALGORITHM).public_jwk()["kid"]
        connection.execute(insert(_table), {"kid": kid, "sealed": self._vault.encrypt(material), "created_at": now})
        return kid

    def _load(self) -> list[tuple[KeyAge, TokenKey]]:
        with self._database.reading() as connection:
            return self._read(connection)

    def _read(self, connection: Connection) -> list[tuple[KeyAge, TokenKey]]:
        """Return the keys that can be decrypted, oldest first.

        If SP_SECRET_KEY was changed without a fallback, the keys from before the change are left out.
        """
        found = []
        for row in connection.execute(select(_table).order_by(_table.c.created_at, _table.c.kid)):
            try:
                key = load_key(self._vault.decrypt(row.sealed), ALGORITHM)
            except VaultLocked:
                log.error("the assertion key %s cannot be opened with this SP_SECRET_KEY", row.kid)
                continue
            found.append((KeyAge(row.kid, row.created_at), key))
        return found
