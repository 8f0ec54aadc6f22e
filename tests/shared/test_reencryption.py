"""Re-encryption: what is counted, and what is kept."""

from __future__ import annotations

from shared.reencryption import Reencrypted
from shared.vault import Vault

OLD, NEW, LOST = "o" * 48, "n" * 48, "l" * 48


def test_each_value_is_counted_once_and_none_is_lost() -> None:
    vault, outcome = Vault([NEW, OLD]), Reencrypted()
    newest, old, lost = (Vault([key]).encrypt(key) for key in (NEW, OLD, LOST))
    assert outcome.fresh(newest, vault) == newest
    assert outcome.fresh(lost, vault) == lost
    assert Vault([NEW]).decrypt(outcome.fresh(old, vault)) == OLD
    assert vars(outcome) == {"reencrypted": 1, "before": 1, "locked": 1}
