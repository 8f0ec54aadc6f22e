"""Hash passwords with argon2id, and verify them in the same time whether or not the account exists.

The parameters are the second recommended choice of the OWASP Password Storage Cheat Sheet: 19 MiB, two passes, one
lane. Only tests change them, in their own process, to save time. The rules for a new password follow ASVS 5.0, section
6.2: it has a minimum length, and it may consist of any characters.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MIN_PASSWORD_LENGTH = 8  # ASVS 5.0, 6.2.1
MEMORY_KIB, PASSES = 19 * 1024, 2
MAX_PASSWORD_LENGTH = 1024  # ASVS 5.0, 6.2.9 asks for 64 or more; the limit keeps hashing fast


class PasswordRefused(ValueError):
    """A new password that is too short or too long."""


def hash_password(password: str) -> str:
    """Return the hash to store, or raise PasswordRefused."""
    if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH:
        raise PasswordRefused(f"a password must have {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} characters")
    return _hasher()[0].hash(password)


def check_password(stored_hash: str | None, password: str) -> bool:
    """Tell whether *password* is correct.

    If the account is unknown, a dummy hash is verified, so that the answer takes the same time.
    """
    from argon2.exceptions import InvalidHashError, VerificationError

    hasher, hash_of_nobody = _hasher()
    try:
        fits = hasher.verify(stored_hash or hash_of_nobody, password[: MAX_PASSWORD_LENGTH + 1])
    except (VerificationError, InvalidHashError):
        return False
    return fits and stored_hash is not None


def needs_rehash(stored_hash: str) -> bool:
    """Tell whether *stored_hash* was made with other parameters than the present ones.

    If so, hash the password again at the next sign-in.
    """
    return _hasher()[0].check_needs_rehash(stored_hash)


@lru_cache
def _hasher() -> tuple[PasswordHasher, str]:
    """Return the hasher, and a hash for accounts that do not exist.

    The hasher and the hash are made at the first use, so that commands without passwords do not wait for them. They are
    made together, so that the first attempt takes the same time for a known account as for an unknown one.
    """
    from argon2 import PasswordHasher

    hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1)
    return hasher, hasher.hash("the password of an account that does not exist")
