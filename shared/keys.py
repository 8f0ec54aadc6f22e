"""Load the keys that sign and verify tokens, and enforce the policy for keys.

A key is validated once, when it is configured, so a `TokenKey` is always valid. Each key has one algorithm, which comes
from a setting and never from a token (RFC 8725, section 3.1). Pure code: it does no I/O and reads no clock.

Libraries accept some insecure keys silently or with a warning. The policy rejects such keys: short secrets (unless a
setting allows them), RSA keys that are short or can be factored, keys of another kind that were pasted as a secret, and
sets that contain a key twice.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509 import load_pem_x509_certificate
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OctKey, RSAKey

from shared.pasted_keys import what_was_pasted

ALGORITHMS = ("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512")
SYMMETRIC = ("HS256", "HS384", "HS512")

MIN_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}  # RFC 7518, section 3.2: as many bytes as the hash has
MIN_RSA_BITS = 2048  # RFC 7518, section 3.3
MAX_RSA_BITS = 8192  # a longer key makes verification slow, and adds little security
MIN_RSA_EXPONENT = 65537  # NIST SP 800-56B: smaller ones have failed in practice
CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}  # RFC 7518, section 3.4
KNOWN_CURVES = ("secp256r1", "secp384r1", "secp521r1")  # the same three curves, by the names that PEM files use
MAX_KEYS = 16  # in a set, because a signature may have to be tried against each key

PRIMES_BELOW_1000 = math.prod(n for n in range(2, 1000) if all(n % divisor for divisor in range(2, math.isqrt(n) + 1)))
# A number whose remainders by these primes are all powers of 65537 was made by the flawed generator of
# CVE-2017-15361 (ROCA), and can be factored.
ROCA_PRIMES = (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)


class KeyRefused(ValueError):
    """The key violates the policy. The message names the rule, and never shows the key."""


@dataclass(frozen=True)
class TokenKey:
    """A key and the one algorithm that it is for.

    `kid` is the key ID of a JWK; it is None for a secret or a PEM. `fingerprint` distinguishes keys in lists and logs.
    The fingerprint of a secret comes from a slow hash, so that it does not help to guess the secret. `private` says
    whether the key can sign.
    """

    algorithm: str
    kid: str | None
    fingerprint: str
    private: bool
    native: OctKey | RSAKey | ECKey = field(repr=False, compare=False)

    @cached_property
    def public_name(self) -> str:
        """The kid under which the public half is published: the key's own kid, otherwise its thumbprint (RFC 7638)."""
        return self.kid or self.native.thumbprint()

    @property
    def secret(self) -> bytes:
        """The bytes of a shared secret, to sign data other than tokens. Raises ValueError for a key pair."""
        if not isinstance(self.native, OctKey):
            raise ValueError("a key pair has no shared secret")
        return self.native.raw_value

    def public_jwk(self) -> dict[str, Any]:
        """Return the public half as a JWK (RFC 7517) with kid, alg and use. Raises ValueError for a secret."""
        if isinstance(self.native, OctKey):
            raise ValueError("a shared secret has no public half")
        jwk: dict[str, Any] = dict(self.native.as_dict(private=False))
        return jwk | {"kid": self.public_name, "alg": self.algorithm, "use": "sig"}


@dataclass(frozen=True)
class KeySet:
    """The current keys of one provider or service, newest first. All keys verify tokens; only the first key signs."""

    keys: tuple[TokenKey, ...]

    def candidates(self, kid: str | None) -> Sequence[TokenKey]:
        """Return the keys that may have signed a token whose header names *kid*.

        The kid in the header is not verified, so it only narrows the choice. A key without a kid is always included.
        """
        if kid is None:
            return self.keys
        return [key for key in self.keys if key.kid is None or key.kid == kid]


def load_key(material: str, algorithm: str, *, allow_short_secret: bool = False) -> TokenKey:
    """Return the key in *material* for *algorithm*, or raise KeyRefused with the reason.

    For an HS algorithm, *material* is the text of the secret, and its UTF-8 bytes are used. White space around it, such
    as a pasted newline, is dropped. For RS and ES, *material* is a PEM (public key, private key or certificate) or a
    JWK in JSON.
    """
    if algorithm not in ALGORITHMS:
        raise KeyRefused(f"unknown algorithm: use one of {', '.join(ALGORITHMS)}")
    material = material.strip()
    if not material:
        raise KeyRefused("the key is empty")
    if algorithm in SYMMETRIC:
        return _load_secret(material, algorithm, allow_short_secret)
    return _load_asymmetric(material, algorithm)


def load_jwk(jwk: Mapping[str, Any], algorithm: str) -> TokenKey:
    """Return the public key in *jwk*, one member of a JWKS, for *algorithm*, or raise KeyRefused."""
    return _load_asymmetric(json.dumps(dict(jwk)), algorithm)


def load_key_set(
    materials: Iterable[str], algorithm: str, *, allow_short_secret: bool = False, signing: bool = False
) -> KeySet:
    """Return the set of the keys in *materials*, newest first.

    Raises KeyRefused if a key is bad, or if two keys or two kids are the same. With *signing*, it also raises
    KeyRefused if the first key cannot sign.
    """
    return key_set([load_key(m, algorithm, allow_short_secret=allow_short_secret) for m in materials], signing=signing)


def key_set(keys: Sequence[TokenKey], *, signing: bool = False) -> KeySet:
    """Return *keys* as a set.

    Raises KeyRefused if there are too many keys, if two keys or two kids are the same, or if the algorithms differ.
    With *signing*, it also raises KeyRefused if the first key cannot sign.
    """
    if len(keys) > MAX_KEYS:
        raise KeyRefused(f"more than {MAX_KEYS} keys")
    if len({key.algorithm for key in keys}) > 1:
        raise KeyRefused("all keys of a set must be for the same algorithm")
    if len({key.fingerprint for key in keys}) < len(keys):
        raise KeyRefused("the same key is given twice")
    kids = [key.kid for key in keys if key.kid is not None]
    if len(set(kids)) < len(kids):
        raise KeyRefused("two keys have the same kid")
    if signing and keys and not keys[0].private:
        raise KeyRefused("the first key must be a private key, because it signs")
    return KeySet(tuple(keys))


def generate_key(algorithm: str) -> str:
    """Return the material of a new key for *algorithm*: a secret of 64 characters or more, or a private key as PEM."""
    if algorithm in SYMMETRIC:
        return secrets.token_urlsafe(max(48, MIN_SECRET_BYTES[algorithm]))
    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if algorithm in CURVES:
        curve = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}[algorithm]
        private = ec.generate_private_key(curve)
    elif algorithm in ALGORITHMS:
        private = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    else:
        raise KeyRefused(f"unknown algorithm: use one of {', '.join(ALGORITHMS)}")
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(material: str) -> str:
    """Return the public key, as a PEM, of the private key in *material*, which is a PEM too."""
    key = _import_asymmetric(material)
    return key.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _load_secret(secret: str, algorithm: str, allow_short: bool) -> TokenKey:
    if why := what_was_pasted(secret):
        raise KeyRefused(why)
    octets = secret.encode()
    needed = MIN_SECRET_BYTES[algorithm]
    if len(octets) < needed and not allow_short:
        raise KeyRefused(f"the secret has {len(octets)} bytes; {algorithm} needs {needed} (RFC 7518, section 3.2)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # an explicit setting allowed the short secret
        native = OctKey.import_key(octets)
    return TokenKey(algorithm, None, fingerprint_of_secret(octets), True, native)


def fingerprint_of_secret(octets: bytes) -> str:
    """Return the fingerprint of a secret. It is slow to compute, so that it does not help to guess the secret."""
    return hashlib.scrypt(octets, salt=b"lychgate key fingerprint", n=2**12, r=8, p=1, dklen=6).hex()


def _load_asymmetric(material: str, algorithm: str) -> TokenKey:
    native = _import_asymmetric(material)
    if isinstance(native, ECKey) and native.raw_value.curve.name not in KNOWN_CURVES:
        raise KeyRefused(f"no supported algorithm uses the curve {native.raw_value.curve.name}")
    declared = native.get("alg")
    if declared is not None and declared != algorithm:
        raise KeyRefused(f"the JWK is for {declared}, the setting says {algorithm}")
    if native.get("use") not in (None, "sig"):
        raise KeyRefused("the JWK is for encryption, not for signatures")
    if isinstance(native, RSAKey):
        if not algorithm.startswith("RS"):
            raise KeyRefused(f"{algorithm} needs an EC key, this is an RSA key")
        _judge_rsa(native)
    elif algorithm not in CURVES:
        raise KeyRefused(f"{algorithm} needs an RSA key, this is an EC key")
    elif native.curve_name != CURVES[algorithm]:
        raise KeyRefused(f"{algorithm} needs the curve {CURVES[algorithm]}, this key is on {native.curve_name}")
    return TokenKey(algorithm, native.kid or None, native.thumbprint()[:12], native.is_private, native)


def _import_asymmetric(material: str) -> RSAKey | ECKey:
    """Return the RSA or EC key in *material* (PEM, certificate or JWK)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # the code below rejects the keys that it warns about
            return _import_jwk(material) if material.startswith("{") else _import_pem(material)
    except KeyRefused:
        raise
    except (ValueError, TypeError, JoseError, RecursionError, KeyError) as error:
        raise KeyRefused("this is not a readable RSA or EC key: enter a PEM or a JWK") from error


def _import_jwk(material: str) -> RSAKey | ECKey:
    jwk: Any = json.loads(material, object_pairs_hook=_members)
    if jwk.get("kty") not in ("RSA", "EC"):
        raise KeyRefused("only RSA and EC keys verify RS and ES signatures")
    # We use a private key to sign and, with its public half, to verify. If its key_ops allow only signing, the library
    # would refuse to verify, so the key_ops are removed and checked here.
    operations = jwk.pop("key_ops", ["sign", "verify"])
    if not isinstance(operations, list) or ("sign" if "d" in jwk else "verify") not in operations:
        raise KeyRefused("the JWK's key_ops do not allow signatures")
    return RSAKey.import_key(jwk) if jwk["kty"] == "RSA" else ECKey.import_key(jwk)


def _import_pem(material: str) -> RSAKey | ECKey:
    pem = material.replace("\\n", "\n").encode()
    if b"-----BEGIN" not in pem:
        raise KeyRefused("this is neither a PEM nor a JWK: a shared secret needs an HS algorithm")
    if pem.count(b"-----BEGIN") - pem.count(b"-----BEGIN EC PARAMETERS") > 1:
        raise KeyRefused("this contains more than one PEM: enter each key separately")
    if b"ENCRYPTED" in pem:
        raise KeyRefused("the key is encrypted with a password: enter it without one")
    if b"-----BEGIN CERTIFICATE" in pem:
        key = load_pem_x509_certificate(pem).public_key()
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    try:
        return RSAKey.import_key(pem)
    except (ValueError, TypeError, JoseError):
        return ECKey.import_key(pem)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise KeyRefused("the JWK has the same name twice")
    return members


def _judge_rsa(key: RSAKey) -> None:
    numbers = key.public_key.public_numbers()
    if not MIN_RSA_BITS <= numbers.n.bit_length() <= MAX_RSA_BITS:
        raise KeyRefused(
            f"an RSA key must have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, this has {numbers.n.bit_length()}"
        )
    if numbers.e < MIN_RSA_EXPONENT or numbers.e % 2 == 0:
        raise KeyRefused(f"the RSA exponent must be odd and at least {MIN_RSA_EXPONENT}")
    if math.gcd(numbers.n, PRIMES_BELOW_1000) != 1:
        raise KeyRefused("the RSA modulus has a small factor, so the key is not secure")
    if all(numbers.n % prime in _powers_of_65537(prime) for prime in ROCA_PRIMES):
        raise KeyRefused("the RSA key comes from a flawed generator and can be factored (CVE-2017-15361)")


def _powers_of_65537(prime: int) -> set[int]:
    powers, power = set(), 1
    while power not in powers:
        powers.add(power)
        power = power * 65537 % prime
    return powers
