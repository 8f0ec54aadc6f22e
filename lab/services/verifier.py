"""Verify signatures for an emulated service, with the standard library and `cryptography` alone.

It uses no code of `shared/`, so that an emulator does not repeat our errors. A service has one key and one algorithm.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from lab.forging import HASHES, ForgingKey
from lab.keys import CURVE_ALGORITHMS, CURVE_NAMES, KeyUnreadable, text_of

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
FAMILIES = {"HS": "a shared secret", "RS": "an RSA key", "ES": "an EC key"}


@dataclass(frozen=True)
class Verifier:
    """A key and the one algorithm that it is for."""

    algorithm: str
    key: PublicKey | bytes = field(repr=False)

    @property
    def secret(self) -> bytes:
        """The shared secret; empty if the key is public."""
        return self.key if isinstance(self.key, bytes) else b""

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Tell whether *signature* is of *message* (RFC 7518, section 3)."""
        size = self.algorithm[2:]
        if isinstance(self.key, bytes):
            return hmac.compare_digest(hmac.digest(self.key, message, f"sha{size}"), signature)
        try:
            if isinstance(self.key, rsa.RSAPublicKey):
                self.key.verify(signature, message, padding.PKCS1v15(), HASHES[size]())
            else:
                self.key.verify(_der(signature, self.key), message, ec.ECDSA(HASHES[size]()))
        except (InvalidSignature, ValueError):
            return False
        return True


def read_verifier(given: str | ForgingKey, algorithms: Sequence[str], algorithm: str = "") -> Verifier:
    """Return the verifier with the key that *given* names, for a service with these *algorithms*.

    *given* is a shared secret, or a public or private key as PEM or JWK. It may also be the place of the key:
    `env:NAME`, `file:PATH`, or the path of a file. If *algorithm* is empty, the key's usual algorithm is used. Raises
    KeyUnreadable.
    """
    if isinstance(given, ForgingKey):
        key = given.private if isinstance(given.private, bytes) else given.private.public_key()
        algorithm = algorithm or given.algorithm
    else:
        key = _read(text_of(given).strip())
    usual = _usual(key)
    chosen = algorithm or usual
    if chosen not in algorithms:
        kinds = " or ".join(FAMILIES[family] for family in dict.fromkeys(name[:2] for name in algorithms))
        raise KeyUnreadable(f"the service needs {kinds}, for {', '.join(algorithms)}")
    if chosen[:2] != usual[:2] or (chosen.startswith("ES") and chosen != usual):
        raise KeyUnreadable(f"this key does not fit {chosen}; its usual algorithm is {usual}")
    return Verifier(chosen, key)


def _read(text: str) -> PublicKey | bytes:
    if not text:
        raise KeyUnreadable("the key is empty")
    if text.startswith("{"):
        return _from_jwk(text)
    return _from_pem(text.encode()) if text.startswith("-----BEGIN") else text.encode()


def _from_pem(text: bytes) -> PublicKey:
    try:
        key: Any = load_pem_private_key(text, None).public_key() if b"PRIVATE" in text else load_pem_public_key(text)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyUnreadable("the PEM is not a key without a password") from None
    if not isinstance(key, PublicKey):
        raise KeyUnreadable("the PEM is not an RSA or EC key")
    return key


def _from_jwk(text: str) -> PublicKey | bytes:
    """Return the public key, or the secret, of a JWK (RFC 7518, section 6)."""
    try:
        jwk = json.loads(text)
        match jwk["kty"]:
            case "oct":
                return _octets(jwk["k"])
            case "EC":
                numbers = ec.EllipticCurvePublicNumbers(_whole(jwk["x"]), _whole(jwk["y"]), CURVE_NAMES[jwk["crv"]])
                return numbers.public_key()
            case "RSA":
                return rsa.RSAPublicNumbers(_whole(jwk["e"]), _whole(jwk["n"])).public_key()
    except (KeyError, TypeError, ValueError):
        raise KeyUnreadable("the JWK has a member that is missing or not valid") from None
    raise KeyUnreadable("kty in the JWK must be oct, RSA or EC")


def _usual(key: PublicKey | bytes) -> str:
    if isinstance(key, bytes):
        return "HS256"
    if isinstance(key, rsa.RSAPublicKey):
        return "RS256"
    if key.curve.name not in CURVE_ALGORITHMS:
        raise KeyUnreadable(f"the curve {key.curve.name} is not one of P-256, P-384 and P-521")
    return CURVE_ALGORITHMS[key.curve.name]


def _der(signature: bytes, key: ec.EllipticCurvePublicKey) -> bytes:
    """Return r and s in the form that `cryptography` needs.

    Raises ValueError if the signature has another length than it must have (RFC 7518, section 3.4).
    """
    size = (key.key_size + 7) // 8
    if len(signature) != 2 * size:
        raise ValueError("the signature has another length")
    return encode_dss_signature(int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))


def _octets(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _whole(text: str) -> int:
    return int.from_bytes(_octets(text))
