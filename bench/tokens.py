"""Compare two ways to open and verify a token: with all strict checks, and with the least that verification needs.

The minimal way does one HMAC or one signature verification by `cryptography`, three base64 decodings and two JSON
decodings. It does not check the alphabet, duplicate names or claims. PyJWT is measured too, for HS256.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from bench.timing import Row, per_call
from shared.errors import Rejection
from shared.keys import KeySet, generate_key, load_key_set, public_pem
from shared.tokens import sign
from sp.providers.provider import Provider
from sp.providers.settings_parser import parse_provider
from sp.signin.verification import verify

WANTED = {"HS256": 0.55, "RS256": 0.84, "ES256": 0.88}


@dataclass(frozen=True)
class Strict:
    """A token, a provider with all checks on, and the keys. *public* is the key with which the minimal way verifies."""

    token: str
    provider: Provider
    keys: KeySet
    public: str

    def verify(self) -> object:
        """Open the token and verify it."""
        return verify(self.token, self.provider, self.keys, time.time())


def strict(algorithm: str) -> Strict:
    """Return a new token, signed with a new key, with the provider and keys that verify it."""
    private = generate_key(algorithm)
    public = private if algorithm == "HS256" else public_pem(private)
    keys = load_key_set([public], algorithm)
    return Strict(_token(private, algorithm), _strict_provider(algorithm), keys, public)


def rows() -> list[Row]:
    """Measure each algorithm."""
    found = []
    for algorithm, wanted in WANTED.items():
        ours = strict(algorithm)
        _refuses_forgery(ours)
        actions = {"ours": ours.verify, "floor": _floor(ours.token, algorithm, ours.public)}
        if algorithm == "HS256":
            actions["PyJWT"] = partial(
                jwt.decode,
                *(ours.token, ours.public, ["HS256"]),
                audience="https://sp.example",
                issuer="https://idp.example",
            )
        times = per_call(actions)
        note = ", ".join(f"{name} {value:.1f} us" for name, value in times.items())
        ratio = times["floor"] / times["ours"]
        found.append(Row(f"{algorithm}: strict verification, of the floor", ratio, "", wanted, note=note))
        if "PyJWT" in times:
            found.append(Row("HS256: strict verification, times PyJWT", times["PyJWT"] / times["ours"], "x", 2.0))
    return found


def _strict_provider(algorithm: str) -> Provider:
    return parse_provider(
        "bench",
        {
            "preset": "strict",
            "algorithm": algorithm,
            "issuer": {"expected": "https://idp.example", "match": True, "required": True},
            "audience": {"expected": "https://sp.example", "match": True, "required": True},
        },
    )


def _token(private: str, algorithm: str) -> str:
    now = int(time.time())
    claims = {
        "iat": now,
        "nbf": now,
        "exp": now + 300,
        "jti": "kY1fN0aXc3N4l2b8vT0rZw",
        "iss": "https://idp.example",
        "aud": "https://sp.example",
        "sub": "4711",
        "nonce": "xZ5zY8c1Qm0Wj2vR",
        "email": "alice@example.com",
        "given_name": "Alice",
        "family_name": "Liddell",
        "groups": ["staff", "authors"],
    }
    return sign(claims, load_key_set([private], algorithm).keys[0])


def _refuses_forgery(ours: Strict) -> None:
    """Check that a changed signature is refused (the negative control).

    Otherwise raise AssertionError, which makes the row void.
    """
    forged = ours.token[:-8] + ("A" * 8 if ours.token[-8:] != "A" * 8 else "B" * 8)
    try:
        replace(ours, token=forged).verify()
    except Rejection:
        return
    raise AssertionError("a forged token was accepted")


def _floor(token: str, algorithm: str, public: str) -> Callable[[], object]:
    secret = public.encode()
    key = None if algorithm == "HS256" else load_pem_public_key(secret)

    def floor() -> object:
        header, payload, signature = token.split(".")
        octets = urlsafe_b64decode(signature + "==")
        signed = f"{header}.{payload}".encode()
        if key is None:
            if not hmac.compare_digest(hmac.new(secret, signed, hashlib.sha256).digest(), octets):
                raise AssertionError
        elif isinstance(key, ec.EllipticCurvePublicKey):
            der = encode_dss_signature(int.from_bytes(octets[:32]), int.from_bytes(octets[32:]))
            key.verify(der, signed, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(octets, signed, padding.PKCS1v15(), hashes.SHA256())
        json.loads(urlsafe_b64decode(header + "=="))
        return json.loads(urlsafe_b64decode(payload + "=="))

    return floor
