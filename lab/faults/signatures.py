"""Faults of the signature: other keys, other algorithms, none at all, and the wrong bytes."""

from __future__ import annotations

import base64
import binascii
import hmac

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lab.drafts import Draft
from lab.faults.fault import Fault, Make, key_pairs_only, secrets_only
from lab.forging import ForgingKey, key_for, part

OTHERS = {"HS256": "HS384", "HS384": "HS512", "HS512": "HS384", "RS256": "RS384", "RS384": "RS512", "RS512": "RS384"}
ALGORITHM_RULE = "RFC 8725, section 3.1: one algorithm, from the setting"
SIGNATURE_RULE = "RFC 7515, section 5.2"
ONE_BYTE = 1
STRANGER = "mallory@example.org"


def with_hmac(secret: bytes, **header: str) -> Make:
    """Sign by HMAC with *secret*. Use the valid token's algorithm if that is HMAC, otherwise HS256."""

    def make(good: Draft) -> str:
        algorithm = good.key.algorithm if good.key.algorithm.startswith("HS") else "HS256"
        return good.with_header(lambda message: _hmac(secret, message, algorithm), alg=algorithm, **header)

    return make


def _hmac(secret: bytes, message: bytes, algorithm: str = "HS256") -> bytes:
    return hmac.digest(secret, message, f"sha{algorithm[2:]}")


def _by_mallory(good: Draft) -> str:
    return good.token(sign=key_for(good.key.algorithm, "mallory").sign)


def _edited(good: Draft) -> str:
    first, _payload, third = good.token().split(".")
    return f"{first}.{part({**good.claims, 'email': STRANGER, 'sub': STRANGER})}.{third}"


def _truncated(good: Draft) -> str:
    token = good.token()
    return token[: len(token) // 2]


def _confused(good: Draft, secret: bytes) -> str:
    return good.with_header(lambda message: _hmac(secret, message), alg="HS256")


def _public_der(key: ForgingKey) -> bytes:
    return key.pair.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _has_another_algorithm(good: Draft) -> str:
    return "" if good.key.algorithm in OTHERS else "a curve has one algorithm only"


def _by_other_algorithm(good: Draft) -> str:
    other = OTHERS[good.key.algorithm]
    return good.with_header(ForgingKey(other, good.key.private).sign, alg=other)


def _with_secret(good: Draft, secret: bytes) -> str:
    return good.token(sign=ForgingKey(good.key.algorithm, secret).sign)


def _secret(good: Draft) -> bytes:
    return good.key.private if isinstance(good.key.private, bytes) else b""


def _is_base64(good: Draft) -> str:
    if why := secrets_only(good):
        return why
    try:
        base64.b64decode(_secret(good), validate=True)
    except binascii.Error:
        return "the secret is not base64"
    return ""


FAULTS = (
    Fault("wrong-key", "it is signed with another key", SIGNATURE_RULE, _by_mallory, "hole"),
    Fault("key-empty", "it is signed by HMAC with an empty secret", SIGNATURE_RULE, with_hmac(b""), "hole"),
    Fault(
        "key-guessable",
        'it is signed by HMAC with the secret "secret"',
        "RFC 8725, section 3.5",
        with_hmac(b"secret"),
        "hole",
    ),
    Fault(
        "claims-edited",
        f"the e-mail was changed to {STRANGER} after signing",
        SIGNATURE_RULE,
        _edited,
        "hole",
    ),
    Fault(
        "signature-stripped",
        "the signature is empty",
        SIGNATURE_RULE,
        lambda good: good.with_signature(lambda _: b""),
        "hole",
    ),
    Fault(
        "signature-missing",
        "there are two parts, without a signature",
        "RFC 7515, section 3.1",
        lambda good: good.token().rpartition(".")[0],
        "hole",
    ),
    Fault(
        "signature-short",
        "only the first byte of the signature is there",
        SIGNATURE_RULE,
        lambda good: good.with_signature(lambda whole: whole[:ONE_BYTE]),
        "hole",
    ),
    Fault(
        "signature-zero",
        "the signature is zero bytes (with ES: r = s = 0)",
        "CVE-2022-21449; FIPS 186-5, section 6.4.2",
        lambda good: good.with_signature(lambda whole: bytes(len(whole))),
        "hole",
    ),
    Fault(
        "signature-bit",
        "one bit of the signature is another",
        SIGNATURE_RULE,
        lambda good: good.with_signature(lambda whole: bytes([whole[0] ^ 1]) + whole[1:]),
        "hole",
    ),
    Fault("truncated", "the second half of the token is missing", "RFC 7515, section 3.1", _truncated, "hole"),
    Fault(
        "alg-none",
        "the algorithm is none, and there is no signature",
        "RFC 8725, section 3.2",
        lambda good: good.with_header(b"", alg="none"),
        "hole",
    ),
    Fault(
        "alg-none-spelled",
        "the algorithm is nOnE, and there is no signature",
        "RFC 8725, section 3.2; RFC 7515, section 4.1.1: case matters",
        lambda good: good.with_header(b"", alg="nOnE"),
        "hole",
    ),
    Fault(
        "alg-none-signed",
        "the algorithm is none, with a signature by another key",
        "RFC 8725, section 3.2",
        lambda good: good.with_header(key_for(good.key.algorithm, "mallory").sign, alg="none"),
        "hole",
    ),
    Fault(
        "alg-confusion",
        "it is signed by HMAC with the public key (PEM) as the secret",
        "RFC 8725, section 2.1",
        lambda good: _confused(good, good.key.public_pem.encode()),
        "hole",
        obstacle=key_pairs_only,
    ),
    Fault(
        "alg-confusion-stripped",
        "the same, without the line break at the end of the PEM",
        "RFC 8725, section 2.1",
        lambda good: _confused(good, good.key.public_pem.strip().encode()),
        "hole",
        obstacle=key_pairs_only,
    ),
    Fault(
        "alg-confusion-der",
        "the same, with the public key in DER",
        "RFC 8725, section 2.1",
        lambda good: _confused(good, _public_der(good.key)),
        "hole",
        obstacle=key_pairs_only,
    ),
    Fault(
        "alg-other",
        "it is signed with the right key by another algorithm of its kind (HS384 for HS256)",
        ALGORITHM_RULE,
        _by_other_algorithm,
        obstacle=_has_another_algorithm,
    ),
    Fault(
        "alg-mismatch",
        "the header names another algorithm than the signature was made with",
        ALGORITHM_RULE,
        lambda good: good.with_header(alg=OTHERS.get(good.key.algorithm, "RS256")),
    ),
    Fault(
        "alg-lowercase",
        "the algorithm is written in lower case",
        "RFC 7515, section 4.1.1: case matters",
        lambda good: good.with_header(alg=good.key.algorithm.lower()),
    ),
    Fault(
        "alg-missing",
        "the header names no algorithm",
        "RFC 7515, section 4.1.1",
        lambda good: good.token(header={name: value for name, value in good.header.items() if name != "alg"}),
    ),
    Fault(
        "key-base64",
        "it is signed with the base64 of the secret",
        "RFC 7515, section 5.2; a common mistake",
        lambda good: _with_secret(good, base64.b64encode(_secret(good))),
        obstacle=secrets_only,
    ),
    Fault(
        "key-base64-decoded",
        "it is signed with the secret decoded from base64",
        "RFC 7515, section 5.2; a common mistake",
        lambda good: _with_secret(good, base64.b64decode(_secret(good))),
        obstacle=_is_base64,
    ),
    Fault(
        "key-newline",
        "it is signed with the secret and a line break",
        "RFC 7515, section 5.2; a common mistake",
        lambda good: _with_secret(good, _secret(good) + b"\n"),
        obstacle=secrets_only,
    ),
)
