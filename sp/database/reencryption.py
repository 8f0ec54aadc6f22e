"""Re-encrypt all secrets in the database after SP_SECRET_KEY has changed, so that the old key can be deleted.

Done at each start, as long as there are fallback keys, and by `flask --app sp providers reencrypt`, which also says
whether any value still needs an old key. On several nodes the new key goes among the fallbacks of all of them first:
otherwise a node that was not restarted yet meets values that it cannot open.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, select, update

from shared.vault import Vault, VaultLocked
from sp.database.models import AssertionKey, KeyCopy, ProviderKey

SEALED: tuple[tuple[Any, str], ...] = (
    (ProviderKey.__table__, "id"),
    (AssertionKey.__table__, "kid"),
    (KeyCopy.__table__, "provider"),
)

log = logging.getLogger("lychgate")


@dataclass
class Reencrypted:
    """How many values were sealed again, had the newest key before, or cannot be opened by any key."""

    anew: int = 0
    before: int = 0
    locked: int = 0


def reencrypt(engine: Engine, vault: Vault) -> Reencrypted:
    """Seal what was sealed with an older key. A value that no key opens stays as it is: its key may yet be found."""
    outcome = Reencrypted()
    with engine.execution_options(write=True).begin() as connection:
        for table, name in SEALED:
            _reencrypt_table(connection, table, table.c[name], vault, outcome)
    if outcome.anew or outcome.locked:
        log.info("sealed again: %d values; no key opens: %d values", outcome.anew, outcome.locked)
    return outcome


def _reencrypt_table(connection: Connection, table: Any, key: Any, vault: Vault, outcome: Reencrypted) -> None:
    for identity, sealed in connection.execute(select(key, table.c.sealed)).all():
        if vault.is_newest(sealed):
            outcome.before += 1
            continue
        try:
            fresh = vault.reencrypt(sealed)
        except VaultLocked:
            outcome.locked += 1
            continue
        same = (key == identity) & (table.c.sealed == sealed)  # unless somebody was quicker
        connection.execute(update(table).where(same).values(sealed=fresh))
        outcome.anew += 1
