"""Re-encrypt all secrets in the database after SP_SECRET_KEY has changed, so that the old key can be deleted.

This runs at each start if there are fallback keys, and by `flask --app sp providers reencrypt`. The command also
reports whether any value still needs an old key. If there are several nodes, first add the new key to the fallbacks of
every node. Otherwise a node that was not restarted yet cannot decrypt the new values.
"""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import Connection, select, update

from shared.reencryption import Reencrypted
from shared.vault import Vault
from sp.database.access import Database
from sp.database.models import AssertionKey, KeyCopy, ProviderKey

ENCRYPTED: tuple[tuple[Any, str], ...] = (
    (ProviderKey.__table__, "id"),
    (AssertionKey.__table__, "kid"),
    (KeyCopy.__table__, "provider"),
)

log = logging.getLogger("lychgate")


def reencrypt(database: Database, vault: Vault) -> Reencrypted:
    """Re-encrypt values that were encrypted with an older key."""
    outcome = Reencrypted()
    with database.writing() as connection:
        for table, name in ENCRYPTED:
            _reencrypt_table(connection, table, table.c[name], vault, outcome)
    if outcome.reencrypted or outcome.locked:
        log.info("re-encrypted: %d values; no key decrypts: %d values", outcome.reencrypted, outcome.locked)
    return outcome


def _reencrypt_table(connection: Connection, table: Any, key: Any, vault: Vault, outcome: Reencrypted) -> None:
    for identity, encrypted in connection.execute(select(key, table.c.sealed)).all():
        fresh = outcome.fresh(encrypted, vault)
        if fresh != encrypted:
            same = (key == identity) & (table.c.sealed == encrypted)  # unless another node was faster
            connection.execute(update(table).where(same).values(sealed=fresh))
