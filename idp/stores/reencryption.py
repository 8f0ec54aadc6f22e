"""Encrypt all stored secrets again after IDP_SECRET_KEY has changed, so that the old key can be discarded.

Done at each start, as long as there are fallback keys, and by `flask --app idp services reencrypt`, which also says
whether any value still needs an old key. On several nodes the new key goes among the fallbacks of all of them first:
otherwise a node that was not restarted yet reads values that it cannot decrypt.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from idp.models import ServiceKeyRow, ServiceRow, writing
from shared.vault import Vault, VaultLocked


@dataclass
class Reencrypted:
    """How many values were encrypted again, already had the newest key, or cannot be decrypted by any key."""

    anew: int = 0
    before: int = 0
    locked: int = 0


def reencrypt(vault: Vault) -> Reencrypted:
    """Encrypt again what has an older key. A value that no key decrypts stays: its key may be found later."""
    outcome = Reencrypted()
    with writing() as session:
        for key in session.scalars(select(ServiceKeyRow)):
            key.sealed = _fresh(key.sealed, vault, outcome)
        for row in session.scalars(select(ServiceRow)):
            if "logout_keys" in row.definition:
                fresh = [_fresh(sealed, vault, outcome) for sealed in row.definition["logout_keys"]]
                row.definition = {**row.definition, "logout_keys": fresh}
    return outcome


def _fresh(sealed: str, vault: Vault, outcome: Reencrypted) -> str:
    if vault.is_newest(sealed):
        outcome.before += 1
        return sealed
    try:
        fresh = vault.reencrypt(sealed)
    except VaultLocked:
        outcome.locked += 1
        return sealed
    outcome.anew += 1
    return fresh
