"""Opening and verifying a token with all strict checks on, against the least that any verification must do.

The floor is one HMAC or one signature verification by `cryptography`, three base64 decodings and two JSON decodings.
It makes no checks: no alphabet, no duplicate names, no claims.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
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


def rows() -> list[Row]:
    """Measure each algorithm."""
    found = []
    for algorithm, wanted in WANTED.items():
        private = generate_key(algorithm)
        public = private if algorithm == "HS256" else public_pem(private)
        provider = _strict_provider(algorithm)
        keys = load_key_set([public], algorithm)
        token = _token(private, algorithm)
        _refuses_forgery(token, provider, keys)
        floor = _floor(token, algorithm, public)
        actions: dict[str, Callable[[], object]] = {
            "ours": partial(_verify, token, provider, keys),
            "floor": floor,
        }
        if algorithm == "HS256":
            actions["PyJWT"] = partial(
                jwt.decode, token, public, ["HS256"], audience="https://sp.example", issuer="https://idp.example"
            )
        times = per_call(actions)
        note = ", ".join(f"{name} {value:.1f} us" for name, value in times.items())
        found.append(
            Row(
                f"{algorithm}: strict verification, of the floor", times["floor"] / times["ours"], "", wanted, note=note
            )
        )
        if "PyJWT" in times:
            found.append(Row("HS256: strict verification, times PyJWT", times["PyJWT"] / times["ours"], "x", 2.0))
    return found


def _verify(token: str, provider: Provider, keys: KeySet) -> object:
    return verify(token, provider, keys, time.time())


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


def _refuses_forgery(token: str, provider: Provider, keys: KeySet) -> None:
    """The negative control: a changed signature must be refused, or the row is void."""
    forged = token[:-8] + ("A" * 8 if token[-8:] != "A" * 8 else "B" * 8)
    try:
        verify(forged, provider, keys, time.time())
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
