"""Read the key with which the lab signs: a shared secret, a private key as PEM, or a JWK.

The key policy of the two programs does not apply, because another service may have a short secret, and the lab must
sign with it.
"""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lab.forging import ALGORITHMS, ForgingKey

CURVE_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
CURVE_NAMES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


class KeyUnreadable(ValueError):
    """A key that cannot sign. The message says why, and never shows the key."""


def read_key(given: str, algorithm: str = "") -> ForgingKey:
    """Return the key that *given* names, for *algorithm*.

    If *algorithm* is empty, use the `alg` of a JWK, or else the key's usual algorithm.

    *given* is `env:NAME`, `file:PATH`, the path of a file, or the key itself. Raises KeyUnreadable.
    """
    if algorithm and algorithm not in ALGORITHMS:
        raise KeyUnreadable(f"unknown algorithm: use one of {', '.join(ALGORITHMS)}")
    text = text_of(given).strip()
    if not text:
        raise KeyUnreadable("the key is empty")
    kid = ""
    if text.startswith("{"):
        jwk = _json(text)
        private: Any = _from_jwk(jwk)
        kid, algorithm = str(jwk.get("kid", "")), algorithm or str(jwk.get("alg", ""))
    else:
        private = _from_pem(text) if text.startswith("-----BEGIN") else text.encode()
    usual = _usual_algorithm(private)
    if algorithm and not _fits(algorithm, usual):
        raise KeyUnreadable(f"this key cannot sign with {algorithm}; its usual algorithm is {usual}")
    return ForgingKey(algorithm or usual, private, kid)


def text_of(given: str) -> str:
    """Return the text of the key that *given* names: `env:NAME`, `file:PATH`, a path, or the key itself."""
    kind, _colon, rest = given.partition(":")
    try:
        if kind == "env":
            return os.environ[rest]
        if kind == "file":
            return Path(rest).read_text("utf-8")
        return Path(given).read_text("utf-8") if _is_file(given) else given
    except KeyError:
        raise KeyUnreadable(f"the environment has no variable {rest}") from None
    except (OSError, UnicodeDecodeError):
        raise KeyUnreadable("the file of the key cannot be read as text") from None


def _is_file(given: str) -> bool:
    try:
        return Path(given).is_file()
    except (OSError, ValueError):  # not a valid path, so it is the key itself
        return False


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        raise KeyUnreadable("the JWK is not JSON") from None
    if not isinstance(value, dict):
        raise KeyUnreadable("the JWK is not a JSON object")
    return value


def _from_pem(text: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError):
        raise KeyUnreadable("the PEM is not a private key without a password: only a private key can sign") from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise KeyUnreadable("the PEM is not an RSA or EC key")
    return key


def _from_jwk(jwk: dict[str, Any]) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | bytes:
    """Return the private key in *jwk* (RFC 7517; RFC 7518, section 6)."""
    try:
        match jwk.get("kty"):
            case "oct":
                return _octets(jwk["k"])
            case "EC":
                return ec.derive_private_key(_whole(jwk["d"]), CURVE_NAMES[jwk["crv"]])
            case "RSA":
                public = rsa.RSAPublicNumbers(_whole(jwk["e"]), _whole(jwk["n"]))
                p, q = rsa.rsa_recover_prime_factors(public.n, public.e, d := _whole(jwk["d"]))
                rest = (rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q))
                return rsa.RSAPrivateNumbers(p, q, d, *rest, public).private_key()
    except KeyError as error:
        raise KeyUnreadable(f"the JWK has no usable {error}: only a private key can sign") from None
    except (ValueError, TypeError):
        raise KeyUnreadable("the JWK has a member that is not valid") from None
    raise KeyUnreadable("kty in the JWK must be oct, RSA or EC")


def _octets(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _whole(text: str) -> int:
    return int.from_bytes(_octets(text), "big")


def _usual_algorithm(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | bytes) -> str:
    if isinstance(private, bytes):
        return "HS256"
    if isinstance(private, rsa.RSAPrivateKey):
        return "RS256"
    if private.curve.name not in CURVE_ALGORITHMS:
        raise KeyUnreadable(f"the curve {private.curve.name} is not one of P-256, P-384 and P-521")
    return CURVE_ALGORITHMS[private.curve.name]


def _fits(algorithm: str, usual: str) -> bool:
    return algorithm == usual if usual.startswith("ES") else algorithm[:2] == usual[:2]
