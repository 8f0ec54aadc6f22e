"""Re-encrypt stored values after a secret key has changed, so that the old key can be deleted."""

from __future__ import annotations

from dataclasses import dataclass

from shared.vault import Vault, VaultLocked


@dataclass
class Reencrypted:
    """How many values were re-encrypted, already had the newest key, or cannot be decrypted with any key."""

    reencrypted: int = 0
    before: int = 0
    locked: int = 0

    def fresh(self, encrypted: str, vault: Vault) -> str:
        """Return the value encrypted with the newest key, and count it.

        If no key decrypts the value, this method returns the value unchanged, because an operator may find its key
        later.
        """
        if vault.is_newest(encrypted):
            self.before += 1
            return encrypted
        try:
            fresh = vault.reencrypt(encrypted)
        except VaultLocked:
            self.locked += 1
            return encrypted
        self.reencrypted += 1
        return fresh
