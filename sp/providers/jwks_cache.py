"""Store each JWKS endpoint's last good keys in the database, so that a restart works while the endpoint is down.

The keys are public, but must not be forged: an attacker who can only write to the database must not be able to add a
key that signs people in. So the keys are encrypted like the configured keys, together with their provider, their URL
and the time at which they were fetched. If someone restores an old row, the gateway still sees how old its keys are.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from shared.clock import time_now
from shared.errors import StoreUnavailable
from shared.vault import Vault, VaultLocked
from sp.database.access import Database
from sp.database.models import KeyCopy

_copy: Any = KeyCopy.__table__

log = logging.getLogger("lychgate")


class SqlKeyCopies:
    """Implements `sp.providers.jwks_client.KeyCopies`.

    Errors are logged and not raised, because the copy is only a backup.
    """

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    def load(self, provider: str, url: str) -> tuple[list[Mapping[str, Any]], float]:
        """Return the JWKs saved for *provider* and *url*, and the time at which they were fetched.

        If no saved keys can be trusted, the list is empty.
        """
        try:
            with self._database.reading() as connection:
                sealed = connection.execute(select(_copy.c.sealed).where(_copy.c.provider == provider)).scalar()
            content = json.loads(self._vault.decrypt(sealed)) if sealed else {}
        except (StoreUnavailable, VaultLocked) as error:
            log.warning("the last good keys of %s cannot be read: %s", provider, type(error).__name__)
            return [], 0.0
        if (content.get("provider"), content.get("url")) != (provider, url):
            return [], 0.0  # the URL was changed meanwhile, or the row was copied from another one
        jwks: list[Mapping[str, Any]] = content["keys"]
        return jwks, float(content.get("at", 0.0))  # older versions stored no time, so the age of their keys is unknown

    def save(self, provider: str, url: str, jwks: Sequence[Mapping[str, Any]]) -> None:
        """Store *jwks* with the present time. They replace the copy for *provider*."""
        sealed = self._vault.encrypt(
            json.dumps({"provider": provider, "url": url, "at": time_now(), "keys": list(jwks)})
        )
        try:
            with self._database.writing() as connection:
                connection.execute(delete(_copy).where(_copy.c.provider == provider))
                connection.execute(insert(_copy), {"provider": provider, "sealed": sealed})
        except (StoreUnavailable, IntegrityError) as error:  # another node may store the keys at the same moment
            log.warning("the keys of %s cannot be kept: %s", provider, type(error).__name__)
