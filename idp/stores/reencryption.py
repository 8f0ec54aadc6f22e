"""Re-encrypt all stored secrets after IDP_SECRET_KEY has changed, so that the old key can be discarded.

This runs at each start if there are fallback keys, and by `flask --app idp services reencrypt`. The command also
reports whether any value still needs an old key. If there are several nodes, first add the new key to the fallbacks of
all of them. Otherwise a node that was not restarted yet cannot decrypt the new values.
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
