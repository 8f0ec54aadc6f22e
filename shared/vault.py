"""Encrypt secrets for storage in a database, with a key that can be rotated.

A thief who has only the database cannot read the keys of providers and services. The first secret key encrypts, and all
keys decrypt. To rotate the key, put the new key first and the old key among the fallbacks.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class VaultLocked(Exception):
    """A stored secret cannot be decrypted, because the secret key was changed and the old key is not a fallback."""


class Vault:
    """Encrypts and decrypts text with keys derived from the program's secret keys (HKDF, RFC 5869; Fernet).

    Text that was encrypted for one *purpose* cannot be decrypted for another.
    """

    def __init__(self, secret_keys: Sequence[str], purpose: str = "vault") -> None:
        fernets = [Fernet(_derive(secret, purpose)) for secret in secret_keys]
        self._newest, self._fernet = fernets[0], MultiFernet(fernets)

    def encrypt(self, text: str) -> str:
        """Return *text* encrypted and authenticated."""
        return self._fernet.encrypt(text.encode()).decode("ascii")

    def decrypt(self, sealed: str) -> str:
        """Return the text, or raise VaultLocked."""
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken as error:
            raise VaultLocked("a stored secret was encrypted with another secret key") from error

    def can_decrypt(self, sealed: str) -> bool:
        """Tell whether one of the keys decrypts *sealed*."""
        try:
            self.decrypt(sealed)
        except VaultLocked:
            return False
        return True

    def is_newest(self, sealed: str) -> bool:
        """Tell whether *sealed* was encrypted with the first key."""
        try:
            self._newest.decrypt(sealed)
        except InvalidToken:
            return False
        return True

    def reencrypt(self, sealed: str) -> str:
        """Return *sealed*, encrypted again with the first key, or raise VaultLocked."""
        try:
            return self._fernet.rotate(sealed).decode("ascii")
        except InvalidToken as error:
            raise VaultLocked("a stored secret was encrypted with another secret key") from error


def _derive(secret: str, purpose: str) -> bytes:
    return urlsafe_b64encode(HKDF(SHA256(), 32, None, f"lychgate {purpose}".encode()).derive(secret.encode()))
