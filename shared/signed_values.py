"""Sign values that a browser keeps, and read them again: itsdangerous, with each key derived only once.

The newest key signs, and all keys verify. The signed values are the same as those of `URLSafeSerializer`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from typing import Any

from itsdangerous import HMACAlgorithm, Serializer, Signer, URLSafeSerializer
from itsdangerous.encoding import base64_encode

WORTH_COMPRESSING = 200  # bytes of JSON; for less, compression saves few bytes and takes longer than signing


class SignedValues(URLSafeSerializer):
    """Signs and reads values for one purpose, the *salt*. Several threads may use it at the same time."""

    def __init__(self, secret_keys: Sequence[str], salt: str) -> None:
        # itsdangerous signs with the last key of its list and verifies with all
        super().__init__(list(reversed(secret_keys)), salt=salt)
        self._signer = _Signer(self.secret_keys, self.salt)

    def make_signer(self, salt: str | bytes | None = None) -> Signer:
        """Return the one signer of this purpose."""
        return self._signer

    def dump_payload(self, obj: Any) -> bytes:
        """Return the value as it is signed."""
        text = Serializer.dump_payload(self, obj)
        return base64_encode(text) if len(text) < WORTH_COMPRESSING else super().dump_payload(obj)


class _Signer(Signer):
    def __init__(self, secret_keys: Sequence[bytes], salt: bytes | None) -> None:
        super().__init__(secret_keys, salt=salt)
        self._derived = {key: Signer.derive_key(self, key) for key in self.secret_keys}
        self.algorithm = _Hmac(self._derived.values())

    def derive_key(self, secret_key: str | bytes | None = None) -> bytes:
        return self._derived[self.secret_keys[-1] if secret_key is None else secret_key]  # type: ignore[index]


class _Hmac(HMACAlgorithm):
    def __init__(self, keys: Iterable[bytes]) -> None:
        super().__init__(hashlib.sha1)
        self._begun = {key: hmac.new(key, digestmod=hashlib.sha1) for key in keys}

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        signature = self._begun[key].copy()  # for a new HMAC, OpenSSL would look up the algorithm, which takes longer
        signature.update(value)
        return signature.digest()
