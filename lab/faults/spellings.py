"""Faults of spelling: other alphabets, white space, and other serializations of the same claims."""

from __future__ import annotations

import json
import os
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lab.drafts import Draft
from lab.faults.fault import Fault, secrets_only
from lab.forging import encode, part

BASE64URL_RULE = "RFC 7515, section 2; RFC 4648, section 3"
COMPACT_RULE = "RFC 7519, section 1: compact serialization"
ENCRYPTION_RULE = "RFC 7519, section 7.2: a signed token was agreed on"
Write = Callable[[bytes], str]
AES_KEY_BYTES, AES_IV_BYTES, AES_TAG_BYTES = 32, 12, 16  # RFC 7518, section 5.3


def _padded(good: Draft) -> str:
    return _in_alphabet(good, lambda octets: urlsafe_b64encode(octets).decode())


def _standard(good: Draft) -> str:
    """Encode the token in the base64 alphabet with + and /. An added claim makes sure that both occur."""
    claims = {**good.claims, "note": "???>>>~~~"}
    return _in_alphabet(
        Draft(good.key, claims, good.header, good.now), lambda octets: b64encode(octets).decode().rstrip("=")
    )


def _in_alphabet(good: Draft, write: Write) -> str:
    signing_input = ".".join(write(json.dumps(part).encode()) for part in (good.header, good.claims))
    return f"{signing_input}.{write(good.key.sign(signing_input.encode()))}"


def _encrypted(good: Draft) -> str:
    """Return a JWE around the signed token, with the shared secret as the key (RFC 7516; "dir")."""
    secret = good.key.private if isinstance(good.key.private, bytes) else b""
    key = secret[:AES_KEY_BYTES].ljust(AES_KEY_BYTES, b"\0")
    return _jwe({"alg": "dir", "enc": "A256GCM", "cty": "JWT"}, good.token().encode(), key, b"")


def _encrypted_to_public_key(good: Draft) -> str:
    """Return a JWE that anyone can make, because the key is public and the claims are not signed."""
    key = AESGCM.generate_key(AES_KEY_BYTES * 8)
    pair = good.key.pair
    if not isinstance(pair, rsa.RSAPrivateKey):
        raise TypeError("this needs an RSA key")
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303  RSA-OAEP: RFC 7518, 4.3
    wrapped = pair.public_key().encrypt(key, oaep)
    return _jwe({"alg": "RSA-OAEP", "enc": "A256GCM"}, json.dumps(good.claims).encode(), key, wrapped)


def _jwe(header: dict[str, str], text: bytes, key: bytes, wrapped: bytes) -> str:
    protected, iv = part(header), os.urandom(AES_IV_BYTES)
    sealed = AESGCM(key).encrypt(iv, text, protected.encode())
    pieces = (wrapped, iv, sealed[:-AES_TAG_BYTES], sealed[-AES_TAG_BYTES:])
    return ".".join([protected, *map(encode, pieces)])


def _rsa_only(good: Draft) -> str:
    return "" if good.key.algorithm.startswith("RS") else "it needs an RSA key"


def _as_json(good: Draft) -> str:
    first, second, third = good.token().split(".")
    return json.dumps({"protected": first, "payload": second, "signature": third})


FAULTS = (
    Fault("padded", "the parts are padded with =", BASE64URL_RULE, _padded),
    Fault("base64-standard", "the parts are in base64 with + and /", BASE64URL_RULE, _standard),
    Fault("whitespace-end", "there is a line break behind it", BASE64URL_RULE, lambda good: f"{good.token()}\n"),
    Fault(
        "whitespace-inside",
        "there is a space in the middle of the signature",
        BASE64URL_RULE,
        lambda good: f"{(token := good.token())[:-5]} {token[-5:]}",
    ),
    Fault("quoted", "it is in quotation marks", COMPACT_RULE, lambda good: f'"{good.token()}"'),
    Fault("bearer-prefix", "the word Bearer is before it", COMPACT_RULE, lambda good: f"Bearer {good.token()}"),
    Fault("four-parts", "there is a fourth part", COMPACT_RULE, lambda good: f"{good.token()}.e30"),
    Fault("json-serialization", "it is a JWS in JSON", COMPACT_RULE, _as_json),
    Fault("encrypted", "the signed token is encrypted (JWE)", ENCRYPTION_RULE, _encrypted, obstacle=secrets_only),
    Fault(
        "encrypted-to-public-key",
        "its claims are encrypted to the public key, and not signed",
        "RFC 8725, section 2.3; RFC 7516, section 1",
        _encrypted_to_public_key,
        "hole",
        obstacle=_rsa_only,
    ),
)
