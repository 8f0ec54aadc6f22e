"""Verify the signatures of tokens: HMAC, RSA and ECDSA as RFC 7518, section 3, has them. Pure.

`cryptography` and `hmac` compute. joserfc, which signs, calls them alike, but asks each time whether the kind, curve
and `key_ops` of the key fit the algorithm. `shared.keys` has asked that once, when the key was configured.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

Verifier = Callable[[Any, bytes, bytes], bool]
"""Tells whether the `native` part of a TokenKey for this algorithm made the signature (last) of these bytes."""


def _hmac(name: str) -> Verifier:
    def verify(key: Any, signed: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(hmac.new(key.raw_value, signed, name).digest(), signature)

    return verify


def _rsa(hash_algorithm: HashAlgorithm) -> Verifier:
    padding = PKCS1v15()

    def verify(key: Any, signed: bytes, signature: bytes) -> bool:
        try:
            key.public_key.verify(signature, signed, padding, hash_algorithm)
        except InvalidSignature:
            return False
        return True

    return verify


def _ecdsa(hash_algorithm: HashAlgorithm, size: int) -> Verifier:
    """Return the verifier for two numbers of *size* bytes, one after the other (RFC 7518, section 3.4)."""
    method = ECDSA(hash_algorithm)

    def verify(key: Any, signed: bytes, signature: bytes) -> bool:
        if len(signature) != 2 * size:
            return False
        numbers = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
        try:
            key.public_key.verify(encode_dss_signature(*numbers), signed, method)
        except InvalidSignature:
            return False
        return True

    return verify


VERIFIERS: Mapping[str, Verifier] = {
    "HS256": _hmac("sha256"),
    "HS384": _hmac("sha384"),
    "HS512": _hmac("sha512"),
    "RS256": _rsa(SHA256()),
    "RS384": _rsa(SHA384()),
    "RS512": _rsa(SHA512()),
    "ES256": _ecdsa(SHA256(), 32),
    "ES384": _ecdsa(SHA384(), 48),
    "ES512": _ecdsa(SHA512(), 66),
}
