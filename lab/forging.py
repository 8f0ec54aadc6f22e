"""Make tokens in every spelling, valid and faulty, with only the standard library and `cryptography`.

It uses no code of `shared/`. If it did, an error in that code could be in the tests too, and they would not find it.
`key_for` makes each key once for each test process.
"""

import hashlib
import hmac
import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

ALGORITHMS = ("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512")
CURVES: dict[str, ec.EllipticCurve] = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
HASHES: dict[str, type[hashes.HashAlgorithm]] = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
ORDERS = {  # of the curves, FIPS 186-4, appendix D.1.2
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    "ES512": (1 << 521) - 0x5AE79787C40D069948033FEB708F65A2FC44A36477663B851449048E16EC79BF7,
}

SECRET_BYTES = 48

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | bytes


@dataclass(frozen=True)
class ForgingKey:
    """A key of one algorithm: a secret (bytes) or a private key. `kid` is its name in headers, if it has one."""

    algorithm: str
    private: PrivateKey = field(repr=False)
    kid: str = ""

    @property
    def secret(self) -> str:
        """The shared secret, as an administrator types it."""
        if not isinstance(self.private, bytes):
            raise TypeError(f"a key of {self.algorithm} is not a secret")
        return self.private.decode()

    @property
    def pair(self) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
        """The private key, with its public half. Raises TypeError for a secret."""
        if isinstance(self.private, bytes):
            raise TypeError(f"a key of {self.algorithm} is a secret")
        return self.private

    @property
    def private_pem(self) -> str:
        """The private key as PEM."""
        return self.pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    @property
    def public_pem(self) -> str:
        """The public key as PEM."""
        return self.pair.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def material(self) -> str:
        """The text for a provider's setting `keys`."""
        return self.secret if isinstance(self.private, bytes) else self.public_pem

    def jwk(self, **more: Any) -> dict[str, Any]:
        """Return the public key as a JWK (RFC 7517), with further members."""
        pair = self.pair
        if isinstance(pair, rsa.RSAPrivateKey):
            public = pair.public_key().public_numbers()
            return {"kty": "RSA", "n": number(public.n), "e": number(public.e), **more}
        point, size = pair.public_key().public_numbers(), (pair.key_size + 7) // 8
        curve = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[self.algorithm]
        return {"kty": "EC", "crv": curve, "x": number(point.x, size), "y": number(point.y, size), **more}

    def sign(self, message: bytes) -> bytes:
        """Return the signature of *message* (RFC 7518, section 3)."""
        digest = HASHES[self.algorithm[2:]]()
        if isinstance(self.private, bytes):
            return hmac.digest(self.private, message, f"sha{self.algorithm[2:]}")
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(message, padding.PKCS1v15(), digest)
        r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(digest)))
        size = (self.private.key_size + 7) // 8
        return r.to_bytes(size) + s.to_bytes(size)


@cache
def key_for(algorithm: str, holder: str = "idp") -> ForgingKey:
    """Return the key that *holder* has for *algorithm*.

    The three RSA algorithms share a key, because making one is slow.
    """
    if algorithm.startswith("HS"):
        return ForgingKey(algorithm, hashlib.sha512(f"{holder} {algorithm}".encode()).hexdigest().encode())
    if algorithm.startswith("ES"):
        return ForgingKey(algorithm, ec.generate_private_key(CURVES[algorithm]))
    return ForgingKey(algorithm, _rsa_key(holder))


@cache
def _rsa_key(_holder: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def new_key(algorithm: str) -> ForgingKey:
    """Return a key that no one else has, for HS or RS."""
    if algorithm.startswith("HS"):
        return ForgingKey(algorithm, secrets.token_urlsafe(SECRET_BYTES).encode())
    return ForgingKey(algorithm, rsa.generate_private_key(public_exponent=65537, key_size=2048))


def forge(
    header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes, sign: Callable[[bytes], bytes] | bytes
) -> str:
    """Return a token of these parts. Bytes are used unchanged. *sign* is a signature or a function that makes one."""
    signing_input = f"{part(header)}.{part(payload)}"
    signature = sign if isinstance(sign, bytes) else sign(signing_input.encode())
    return f"{signing_input}.{encode(signature)}"


def part(value: Mapping[str, Any] | bytes) -> str:
    """Return a header or payload in base64url."""
    return encode(value if isinstance(value, bytes) else json.dumps(value).encode())


def encode(octets: bytes) -> str:
    """Return *octets* in base64url, without padding (RFC 7515, section 2)."""
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def number(value: int, size: int = 0) -> str:
    """Return a whole number in the form of JWKs: big-endian, in base64url (RFC 7518, section 2)."""
    return encode(value.to_bytes(size or (value.bit_length() + 7) // 8))
