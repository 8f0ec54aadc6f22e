"""Re-encrypt all stored secrets after IDP_SECRET_KEY has changed, so that the old key can be discarded.

Done at each start, as long as there are fallback keys, and by `flask --app idp services reencrypt`, which also says
whether any value still needs an old key. On several nodes the new key goes among the fallbacks of all of them first:
otherwise a node that was not restarted yet reads values that it cannot decrypt.
"""

from __future__ import annotations

from sqlalchemy import select

from idp.models import ServiceKeyRow, ServiceRow, writing
from shared.reencryption import Reencrypted
from shared.vault import Vault


def reencrypt(vault: Vault) -> Reencrypted:
    """Re-encrypt what was encrypted with an older key."""
    outcome = Reencrypted()
    with writing() as session:
        for key in session.scalars(select(ServiceKeyRow)):
            key.sealed = outcome.fresh(key.sealed, vault)
        for row in session.scalars(select(ServiceRow)):
            if "logout_keys" in row.definition:
                fresh = [outcome.fresh(sealed, vault) for sealed in row.definition["logout_keys"]]
                row.definition = {**row.definition, "logout_keys": fresh}
    return outcome
