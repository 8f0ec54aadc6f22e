"""Cases about signatures: the algorithm, the key, and what a header claims about either."""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lab.forging import ALGORITHMS, ORDERS, ForgingKey, forge, key_for, part
from tests.attacks.case import (
    ACCEPTED,
    SECOND_KEY,
    Case,
    Change,
    Good,
    among,
    claim,
    header,
    header_without,
    pieces,
    signature,
    signed_by,
)

NOT_ALLOWED, INVALID = "algorithm_not_allowed", "signature_invalid"
MALLORY = {name: key_for(name, "mallory") for name in ALGORITHMS}


def _flipped(octets: bytes) -> bytes:
    return octets[:-1] + bytes([octets[-1] ^ 1])


def _edited_claims(it: Good) -> str:
    first, _payload, third = it.token().split(".")
    return f"{first}.{part({**it.claims, 'email': 'mallory@example.com'})}.{third}"


def _other_token_signature(it: Good) -> str:
    other = it.token(claims={**it.claims, "jti": "another"})
    return f"{it.token().rpartition('.')[0]}.{other.rpartition('.')[2]}"


EVERY_ALGORITHM = (
    Case("a good token", ACCEPTED, lambda it: it.token()),
    Case("without typ", ACCEPTED, header_without("typ")),
    Case("an edited payload", INVALID, _edited_claims),
    Case("an edited header", INVALID, pieces(lambda h, p, s: f"{part({**_read(h), 'x': 1})}.{p}.{s}")),
    Case("the last bit of the signature is another", INVALID, signature(_flipped)),
    Case("the first bit of the signature is another", INVALID, signature(lambda s: bytes([s[0] ^ 128]) + s[1:])),
    Case("no signature", INVALID, signature(lambda s: b"")),
    Case("half of the signature", INVALID, signature(lambda s: s[: len(s) // 2])),
    Case("a signature one octet shorter", INVALID, signature(lambda s: s[:-1])),
    Case("a signature one octet longer", INVALID, signature(lambda s: s + b"\0")),
    Case("a zero octet before the signature", INVALID, signature(lambda s: b"\0" + s)),
    Case("the signature twice", INVALID, signature(lambda s: s + s)),
    Case("a signature of zero bits", INVALID, signature(lambda s: bytes(len(s)))),
    Case("a signature of one bits", INVALID, signature(lambda s: b"\xff" * len(s))),
    Case("the signature of another token", INVALID, _other_token_signature),
    Case("signed by Mallory's key", INVALID, lambda it: it.token(sign=MALLORY[it.key.algorithm].sign)),
    Case("Mallory's key under a kid", INVALID, signed_by(lambda it: MALLORY[it.key.algorithm].sign, kid="m")),
    Case("the algorithm none, with the signature left on", NOT_ALLOWED, header(alg="none")),
    Case("the algorithm none, without a signature", NOT_ALLOWED, signed_by(lambda it: lambda _: b"", alg="none")),
)  # fmt: skip

SPELLINGS_OF_NONE = tuple(
    Case(f"the algorithm {alg!r}, without a signature", NOT_ALLOWED, signed_by(lambda it: lambda _: b"", alg=alg))
    for alg in ("None", "NONE", "nOnE", "none ", " none", "", "null", "non\u0435", "NoNe\u0001", "HS256none")
)

_LIKE_HS256 = ("hs256", "Hs256", "HS256 ", " HS256", "HS256\u0001", "HS-256", "ＨＳ256", "../HS256", "HS256\nalg: none")
_OF_OTHERS = ("HS384", "HS512", "RS256", "ES256", "PS256", "EdDSA", "dir", "A256GCM", "HMACSHA256", "x" * 200)
OTHER_ALGORITHMS = tuple(
    Case(f"the header says {alg!r}, the signature is right", NOT_ALLOWED, header(alg=alg))
    for alg in (*_LIKE_HS256, *_OF_OTHERS)
)


def _with_hmac(make_secret: Callable[[ForgingKey], str | bytes]) -> Change:
    """Sign by HMAC with the public key as the secret, and say so: the oldest confusion of algorithms."""

    def change(it: Good) -> str:
        secret = make_secret(it.key)
        octets = secret if isinstance(secret, bytes) else secret.encode()
        return it.token(
            header={**it.header, "alg": "HS256"}, sign=lambda message: hmac.digest(octets, message, "sha256")
        )

    return change


def _der(key: ForgingKey) -> bytes:
    assert not isinstance(key.private, bytes)
    return key.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


PUBLIC_KEY_AS_SECRET = (
    Case("HMAC with the public PEM", NOT_ALLOWED, _with_hmac(lambda key: key.public_pem)),
    Case("HMAC with the public PEM, stripped", NOT_ALLOWED, _with_hmac(lambda key: key.public_pem.strip())),
    Case("HMAC with the public PEM, CR LF", NOT_ALLOWED, _with_hmac(lambda key: key.public_pem.replace("\n", "\r\n"))),
    Case("HMAC with the public key in DER", NOT_ALLOWED, _with_hmac(_der)),
    Case("HMAC with the public key in base64", NOT_ALLOWED, _with_hmac(lambda key: base64.b64encode(_der(key)))),
    Case("HMAC with the JWK", NOT_ALLOWED, _with_hmac(lambda key: json.dumps(key.jwk()))),
    Case("HMAC with an empty secret", NOT_ALLOWED, _with_hmac(lambda key: b"")),
    Case("HMAC with the public PEM, called by the right name", INVALID, lambda it: it.token(
        sign=lambda message: hmac.digest(it.key.public_pem.encode(), message, "sha256"))),
)  # fmt: skip


def _hmac_by(make_secret: Callable[[str], bytes]) -> Change:
    return lambda it: it.token(sign=lambda message: hmac.digest(make_secret(it.key.secret), message, "sha256"))


SHARED_SECRET = (
    Case("the secret with a line break", INVALID, _hmac_by(lambda secret: secret.encode() + b"\n")),
    Case("the secret decoded from hexadecimal", INVALID, _hmac_by(bytes.fromhex)),
    Case("the secret decoded from base64", INVALID, _hmac_by(base64.b64decode)),
    Case("the secret encoded in base64", INVALID, _hmac_by(lambda secret: base64.b64encode(secret.encode()))),
    Case("an empty secret", INVALID, _hmac_by(lambda secret: b"")),
    Case("a secret of zeros", INVALID, _hmac_by(lambda secret: bytes(64))),
    Case("the secret in capitals", INVALID, _hmac_by(lambda secret: secret.upper().encode())),
    Case("HMAC with SHA-512 under the name of SHA-256", INVALID, lambda it: it.token(
        sign=lambda message: hmac.digest(it.key.secret.encode(), message, "sha512"))),
    Case("HMAC cut to half, as RFC 4868 does", INVALID, signature(lambda s: s[:16])),
)  # fmt: skip


def _rsa_signed(scheme: padding.AsymmetricPadding, digest: hashes.HashAlgorithm) -> Change:
    def sign(it: Good) -> Callable[[bytes], bytes]:
        private = it.key.private
        assert isinstance(private, rsa.RSAPrivateKey)
        return lambda message: private.sign(message, scheme, digest)

    return signed_by(sign)


PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
RSA = (
    Case("PSS under the name of PKCS #1", INVALID, _rsa_signed(PSS, hashes.SHA256())),
    Case("PSS under its own name", NOT_ALLOWED, header(alg="PS256")),
    Case("SHA-384 under the name of SHA-256", INVALID, _rsa_signed(padding.PKCS1v15(), hashes.SHA384())),
    Case("SHA-1", INVALID, _rsa_signed(padding.PKCS1v15(), hashes.SHA1())),  # noqa: S303
    Case("the message itself for a signature", INVALID, signature(lambda s: b"\x00\x01" + b"\xff" * (len(s) - 2))),
    Case("a signature as large as the modulus", INVALID, lambda it: it.token(sign=_modulus(it.key, 0))),
    Case("a signature of the modulus and one", INVALID, lambda it: it.token(sign=_modulus(it.key, 1))),
    Case("the signature one", INVALID, signature(lambda s: (1).to_bytes(len(s)))),
    *PUBLIC_KEY_AS_SECRET,
)


def _modulus(key: ForgingKey, more: int) -> bytes:
    assert isinstance(key.private, rsa.RSAPrivateKey)
    return (key.private.public_key().public_numbers().n + more).to_bytes(256)


def _halves(make: Callable[[int, int, int], tuple[int, int]]) -> Change:
    """Replace r and s of an ECDSA signature; *make* is given them and the order of the curve."""

    def change(it: Good) -> str:
        def of(octets: bytes) -> bytes:
            size, order = len(octets) // 2, ORDERS[it.key.algorithm]
            r, s = int.from_bytes(octets[:size]), int.from_bytes(octets[size:])
            return b"".join((value % 256**size).to_bytes(size) for value in make(r, s, order))

        return signature(of)(it)

    return change


def _as_der(octets: bytes) -> bytes:
    size = len(octets) // 2
    return encode_dss_signature(int.from_bytes(octets[:size]), int.from_bytes(octets[size:]))


ELLIPTIC = (
    Case("r and s are zero", INVALID, _halves(lambda r, s, n: (0, 0))),
    Case("r is zero", INVALID, _halves(lambda r, s, n: (0, s))),
    Case("s is zero", INVALID, _halves(lambda r, s, n: (r, 0))),
    Case("r and s are one", INVALID, _halves(lambda r, s, n: (1, 1))),
    Case("r and s are the order of the curve", INVALID, _halves(lambda r, s, n: (n, n))),
    Case("s is larger by the order", INVALID, _halves(lambda r, s, n: (r, s + n))),
    Case("r is larger by the order", INVALID, _halves(lambda r, s, n: (r + n, s))),
    Case("r and s are exchanged", INVALID, _halves(lambda r, s, n: (s, r))),
    Case("r is taken from the order", INVALID, _halves(lambda r, s, n: (n - r, s))),
    Case("s is taken from the order: the signature's other form", ACCEPTED, _halves(lambda r, s, n: (r, n - s))),
    Case("in DER", INVALID, signature(_as_der)),
    Case("a zero octet before r and before s", INVALID, signature(lambda s: b"".join(
        b"\0" + half for half in (s[: len(s) // 2], s[len(s) // 2 :])))),
    Case("the curve of Bitcoin", NOT_ALLOWED, header(alg="ES256K")),
    Case("signed on another curve", INVALID, lambda it: it.token(sign=MALLORY["ES384"].sign)),
    *PUBLIC_KEY_AS_SECRET,
)  # fmt: skip


def _with_own_key(**members: Callable[[Good, ForgingKey], Any]) -> Change:
    """Sign with Mallory's key, and let the header say where that key is to be found."""

    def change(it: Good) -> str:
        mallory = MALLORY[it.key.algorithm]
        return it.token(
            header={**it.header, **{n: make(it, mallory) for n, make in members.items()}}, sign=mallory.sign
        )

    return change


def _pointing(name: str, path: str) -> Change:
    return lambda it: it.token(header={**it.header, name: it.listener + path})


def _kid(kid: str) -> Change:
    return lambda it: it.token(header={**it.header, "kid": kid.replace("LISTENER", it.listener)})


KEYS_IN_THE_HEADER: dict[str, Callable[[Good, ForgingKey], Any]] = {
    "jwk": lambda it, key: key.jwk(kid="m"),
    "jku": lambda it, key: f"{it.listener}/jwks.json",
    "x5u": lambda it, key: f"{it.listener}/certificate.pem",
    "x5c": lambda it, key: [base64.b64encode(b"a certificate of Mallory").decode()],
    "x5t": lambda it, key: "bWFsbG9yeQ",
    "x5t#S256": lambda it, key: "bWFsbG9yeQ",
    "pem": lambda it, key: key.public_pem,
}
HEADER_OF_KEYS = (
    *(
        Case(f"Mallory's key, with {name} in the header", INVALID, _with_own_key(**{name: make}))
        for name, make in KEYS_IN_THE_HEADER.items()
    ),
    Case("Mallory's key in jwk, under our own kid", INVALID, _with_own_key(
        jwk=lambda it, key: key.jwk(kid="key-1"), kid=lambda it, key: "key-1")),
    Case("the right key, with jku in the header", ACCEPTED, _pointing("jku", "/jwks.json")),
    Case("the right key, with x5u in the header", ACCEPTED, _pointing("x5u", "/certificate.pem")),
    Case("the right key, with Mallory's jwk in the header", ACCEPTED, lambda it: it.token(
        header={**it.header, "jwk": MALLORY[it.key.algorithm].jwk()})),
    Case("the right key, with a jwk that is none", ACCEPTED, header(jwk=7)),
)  # fmt: skip

STRANGE_KIDS = (
    *("m", "", "KEY-1", "key-1\u0001", "k" * 3000, "\U0001f600"),
    *("../../../../dev/null", "/proc/self/environ", "' OR 1=1 --", "{{7*7}}", "LISTENER/kid", "${jndi:LISTENER/}"),
)
KID = (
    *(Case(f"a key without a name, and the kid {kid[:30]!r}", ACCEPTED, _kid(kid)) for kid in STRANGE_KIDS),
    *among(
        "named",
        Case("the kid of the key", ACCEPTED, lambda it: it.token()),
        Case("no kid: every key is tried", ACCEPTED, header_without("kid")),
        Case("no kid, signed by the second key", ACCEPTED, lambda it: it.token(
            header={n: v for n, v in it.header.items() if n != "kid"}, sign=SECOND_KEY.sign)),
        Case("the second key under its kid", ACCEPTED, signed_by(lambda it: SECOND_KEY.sign, kid="key-2")),
        Case("the second key under the kid of the first", INVALID, signed_by(lambda it: SECOND_KEY.sign)),
        Case("the first key under the kid of the second", INVALID, header(kid="key-2")),
        *(Case(f"the kid {kid[:30]!r}", INVALID, _kid(kid)) for kid in STRANGE_KIDS),
    ),
)  # fmt: skip


def _encrypted(it: Good) -> str:
    return forge({"alg": "dir", "enc": "A256GCM"}, b"", b"") + ".AAAA.AAAA"


CASES = (
    *(case for name in ALGORITHMS for case in among(name.lower(), *EVERY_ALGORITHM)),
    *SPELLINGS_OF_NONE,
    *OTHER_ALGORITHMS,
    *SHARED_SECRET,
    *among("rs256", *RSA, *HEADER_OF_KEYS),
    *among("es256", *ELLIPTIC, *HEADER_OF_KEYS),
    *among("es384", *ELLIPTIC[:10]),
    *among("es512", *ELLIPTIC[:5], *ELLIPTIC[7:10]),
    *KID,
    Case("an encrypted token", "token_malformed", _encrypted),
    Case("a token within a token", "token_malformed", lambda it: it.token(
        header={**it.header, "cty": "JWT"}, claims=it.token().encode())),
    Case("a secret in a claim", ACCEPTED, claim("key", MALLORY["HS256"].secret)),
)  # fmt: skip


def _read(encoded: str) -> Mapping[str, Any]:
    value: Mapping[str, Any] = json.loads(base64.urlsafe_b64decode(encoded + "=="))
    return value
