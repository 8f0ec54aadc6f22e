"""Sign tokens, and open them. Only this module turns the text of a token into trusted data.

To open a token is to parse it and to verify its signature. The parser is strict, because attackers have used everything
that a lenient parser accepts. A token must have at most 8 KiB and three canonical base64url parts. Its header and
payload must be JSON objects without duplicate names, and its algorithm must be the configured one. Keys and URLs in the
header are never used. Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from binascii import a2b_base64
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from shared.errors import AlgorithmNotAllowed, SignatureInvalid, TokenMalformed
from shared.keys import KeySet, TokenKey
from shared.signatures import METHODS

MAX_TOKEN_BYTES = 8192  # docs/protocol.md; tokens are sent in URLs, and servers reject longer ones
MAX_DEPTH = 32  # levels of nested objects and lists; the value is serialised later, when the stack is deeper
MAX_REMEMBERED_HEADER = 512  # characters: strangers choose headers, so the cache is bounded
SIGN_IN_TYPE = "JWT"  # RFC 7519, section 5.1
SIGN_OUT_TYPE = "logout+jwt"  # OpenID Connect Back-Channel Logout 1.0, section 2.4
ASSERTION_TYPE = "assertion+jwt"  # explicit typing, RFC 8725, section 3.11

_BASE64URL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_ALPHABET = _BASE64URL + b"."
_LAST_CHARACTERS = {0: _BASE64URL, 1: b"", 2: _BASE64URL[::16], 3: _BASE64URL[::4]}  # by length modulo 4
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
# A header begins with {" in base64url, or with { and white space. A match starts at the beginning of a base64url run,
# and all quantifiers are possessive: there is no backtracking, so the time is linear in the length of any text.
_JWT_LIKE = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"e[yw][A-Za-z0-9_-]{10,}+(?:\.|%2[eE])[A-Za-z0-9_-]{10,}+"
    r"|((?:(?!eyJ)[A-Za-z0-9_-])*+)eyJ[A-Za-z0-9_-]{4,}+(?:\.|%2[eE])[A-Za-z0-9_-]*+)"
    r"(?:(?:\.|%2[eE])[A-Za-z0-9_-]*+)?+"
)
_TOKEN_PARAMETER = re.compile(r"(?i)\b(jwt|jwttoken|access_token|logout_token|assertion|token|ticket)=[^&\s\"'#]+")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_JSON_SPACE = " \t\n\r"  # RFC 8259, section 2
_TEXT_MEMBERS = ("typ", "kid", "cty")


class Opened(NamedTuple):
    """A token with a verified signature: header, payload and the key that verified it."""

    header: Mapping[str, Any]
    payload: Mapping[str, Any]
    key: TokenKey


class TokenParts(NamedTuple):
    """The parts of a parsed token, whose signature is not yet verified."""

    header: Mapping[str, Any]
    payload: bytes
    signing_input: bytes
    signature: bytes


def open_signed(unverified_token: str, keys: KeySet, algorithm: str) -> Opened:
    """Verify the signature of *unverified_token*; return its header and payload, or raise a Rejection.

    Raises TokenMalformed, AlgorithmNotAllowed or SignatureInvalid. This function does not check claims. It follows RFC
    7515, section 5.2.
    """
    parts = take_apart(unverified_token)
    check_algorithm(parts.header, algorithm)
    key = verify_signature(parts, keys, algorithm)
    return Opened(parts.header, read_object(parts.payload, "payload"), key)


def take_apart(unverified_token: str) -> TokenParts:
    """Return the three parts of a compact JWS (RFC 7515, section 3.1), or raise TokenMalformed."""
    if len(unverified_token) > MAX_TOKEN_BYTES:
        raise TokenMalformed(f"the token is longer than {MAX_TOKEN_BYTES} bytes")
    octets = unverified_token.encode("ascii", "replace")  # "?" replaces any other character, and is rejected
    if octets.translate(None, _ALPHABET):
        raise TokenMalformed("the token has characters outside of A-Z a-z 0-9 - _ and the dot")
    pieces = octets.split(b".")
    if len(pieces) == 5:
        raise TokenMalformed("the token is encrypted (five parts); a signed one (three parts) is needed")
    if len(pieces) != 3:
        raise TokenMalformed(f"a token has three parts divided by dots, this has {len(pieces)}")
    header, payload, signature = pieces
    return TokenParts(
        _remembered_header(header) if len(header) <= MAX_REMEMBERED_HEADER else _read_header(header),
        _decode(payload, "payload"),
        octets[: len(header) + 1 + len(payload)],
        _decode(signature, "signature"),
    )


def check_algorithm(header: Mapping[str, Any], algorithm: str) -> None:
    """Raise AlgorithmNotAllowed unless the header names exactly *algorithm* (RFC 8725, section 3.1)."""
    if header["alg"] != algorithm:
        raise AlgorithmNotAllowed(f"the token is signed with {header['alg'][:20]}, the setting says {algorithm}")


def verify_signature(parts: TokenParts, keys: KeySet, algorithm: str) -> TokenKey:
    """Return the key of *keys* that made the signature, or raise SignatureInvalid."""
    verify = METHODS[algorithm].verify
    candidates = keys.candidates(parts.header.get("kid"))
    for key in candidates:
        if key.algorithm == algorithm and verify(key.native, parts.signing_input, parts.signature):
            return key
    raise SignatureInvalid(
        "the signature does not match any configured key" if candidates else "no configured key has the token's kid"
    )


def read_object(octets: bytes, part: str) -> Mapping[str, Any]:
    """Return the JSON object in *octets*, or raise TokenMalformed that names the *part*.

    The object must be UTF-8 without a byte order mark. It must not contain a duplicate name, NaN or infinity, an
    unpaired surrogate, or more than MAX_DEPTH levels (RFC 7519, section 7.2; RFC 8725, section 2.6; RFC 8259, sections
    8.1, 8.2 and 9). It must not contain a NUL either: real text never contains one, and PostgreSQL cannot store it.
    """
    try:
        text = octets.decode("utf-8").strip(_JSON_SPACE)
        value, end = _DECODER.raw_decode(text)
        if end != len(text):
            raise ValueError(text)
        if octets.count(b"{") + octets.count(b"[") > MAX_DEPTH:
            _check_depth(value)
        if b"\\u" in octets:
            _check_escapes(octets, value)
    except (ValueError, RecursionError) as error:
        reason = error.args[0] if isinstance(error, _Unwanted) else "is not JSON in UTF-8"
        raise TokenMalformed(f"the {part} {reason}") from None
    if type(value) is not dict:
        raise TokenMalformed(f"the {part} is not a JSON object")
    return value


def sign(claims: Mapping[str, Any], key: TokenKey, *, typ: str = SIGN_IN_TYPE, kid: bool = False) -> str:
    """Return *claims* as a compact JWS, signed with *key*. With *kid*, the header contains the key's public name."""
    signing_input = _header(typ, key.algorithm, key.public_name if kid else None) + b"." + _base64(_encode(claims))
    signature = METHODS[key.algorithm].sign(key.native, signing_input)
    return (signing_input + b"." + urlsafe_b64encode(signature).rstrip(b"=")).decode("ascii")


@lru_cache(64)
def _header(typ: str, algorithm: str, kid: str | None) -> bytes:
    header = {"typ": typ, "alg": algorithm}
    return _base64(_encode(header if kid is None else header | {"kid": kid}))


def _base64(text: str) -> bytes:
    return urlsafe_b64encode(text.encode()).rstrip(b"=")


def redact(text: str) -> str:
    """Return *text* with everything that looks like a token replaced, for logs."""
    if "=" in text:
        text = _TOKEN_PARAMETER.sub(r"\1=[redacted]", text)
    return _JWT_LIKE.sub(r"\1[token redacted]", text) if "ey" in text or "ew" in text else text


def _read_header(encoded: bytes) -> Mapping[str, Any]:
    """Return the header, decoded and validated."""
    header = read_object(_decode(encoded, "header"), "header")
    if type(header.get("alg")) is not str:
        raise TokenMalformed("the header names no algorithm: it needs a text member alg, in lower case")
    for name in _TEXT_MEMBERS:
        if name in header and type(header[name]) is not str:
            raise TokenMalformed(f"{name} in the header must be text")
    if "crit" in header or "b64" in header:
        raise TokenMalformed("the header demands an extension (crit, b64) that is not supported")
    return header


def _decode(part: bytes, name: str) -> bytes:
    """Return the bytes of a base64url *part* in its one canonical spelling (RFC 7515, section 2; RFC 4648, 3.5).

    The caller has checked the alphabet. This function rejects an impossible length. It also rejects a last character
    whose unused bits are not zero, because it would be a second spelling of the same bytes.
    """
    if part and part[-1] not in _LAST_CHARACTERS[len(part) % 4]:
        raise TokenMalformed(f"the {name} is not canonical base64url")
    return a2b_base64(part.translate(_URL_SAFE) + b"==")


class _Unwanted(ValueError):
    """Valid JSON that we reject. The message ends a sentence that begins with the part, such as "the payload"."""


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        inside = [inner for outer in level for inner in (outer.values() if type(outer) is dict else outer)]
        level = [inner for inner in inside if type(inner) in (dict, list)]
        if not level:
            return
    raise _Unwanted(f"has more than {MAX_DEPTH} levels")


def _check_escapes(octets: bytes, value: Any) -> None:
    if _NUL.search(octets):
        raise _Unwanted("contains a NUL character")
    json.dumps(value, ensure_ascii=False).encode("utf-8")  # fails for an unpaired surrogate


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise _Unwanted("has the same name twice")
    return value


def _refuse(text: str) -> Any:
    raise ValueError(text)


def _finite(text: str) -> float:
    number = float(text)
    return number if number - number == 0 else _refuse(text)  # infinity minus infinity is NaN


_remembered_header = lru_cache(maxsize=256)(_read_header)  # every token of one sender has the same few headers
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse, parse_float=_finite)
