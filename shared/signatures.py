"""Sign, and verify signatures, with HMAC, RSA and ECDSA as in RFC 7518, section 3.

`cryptography` and `hmac` compute the signatures. joserfc calls them in the same way, but for each token it checks again
whether the kind, the curve and the `key_ops` of the key fit the algorithm. This module does not repeat these checks,
because `shared.keys` did them once, when the key was configured. Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm


class Method(NamedTuple):
    """The two functions of an algorithm. The first argument of each is the `native` part of a TokenKey.

    `sign` takes the bytes to sign, and returns the signature. It raises ValueError for a public key. `verify` takes the
    bytes and a signature, and tells whether the signature is valid.
    """

    sign: Callable[[Any, bytes], bytes]
    verify: Callable[[Any, bytes, bytes], bool]


def _hmac(name: str) -> Method:
    def sign(key: Any, signed: bytes) -> bytes:
        return hmac.new(key.raw_value, signed, name).digest()

    def verify(key: Any, signed: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(hmac.new(key.raw_value, signed, name).digest(), signature)

    return Method(sign, verify)


def _rsa(hash_algorithm: HashAlgorithm) -> Method:
    padding = PKCS1v15()

    def sign(key: Any, signed: bytes) -> bytes:
        signature: bytes = _private(key).sign(signed, padding, hash_algorithm)
        return signature

    def verify(key: Any, signed: bytes, signature: bytes) -> bool:
        try:
            key.public_key.verify(signature, signed, padding, hash_algorithm)
        except InvalidSignature:
            return False
        return True

    return Method(sign, verify)


def _ecdsa(hash_algorithm: HashAlgorithm, size: int) -> Method:
    """Return the functions for signatures of two numbers of *size* bytes, one after the other (RFC 7518, 3.4)."""
    method = ECDSA(hash_algorithm)

    def sign(key: Any, signed: bytes) -> bytes:
        first, second = decode_dss_signature(_private(key).sign(signed, method))
        return first.to_bytes(size, "big") + second.to_bytes(size, "big")

    def verify(key: Any, signed: bytes, signature: bytes) -> bool:
        if len(signature) != 2 * size:
            return False
        numbers = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
        try:
            key.public_key.verify(encode_dss_signature(*numbers), signed, method)
        except InvalidSignature:
            return False
        return True

    return Method(sign, verify)


def _private(key: Any) -> Any:
    if key.private_key is None:
        raise ValueError("a public key cannot sign")
    return key.private_key


METHODS: Mapping[str, Method] = {
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
