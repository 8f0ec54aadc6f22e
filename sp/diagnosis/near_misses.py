"""Recognise known errors of token senders, and explain them.

Pure code: it does no I/O and reads no clock. This module does not decide what is accepted: a token that needs an
explanation has already been rejected. The known errors come from published samples and from users' questions. Examples
are claims in capitals, an exp in Cyrillic letters, milliseconds, dates as text, a payload that is an array, and a
secret that was decoded or ends with a line break.
"""

from __future__ import annotations

import json
import re
import unicodedata
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from shared.claims import LATEST_TIME
from shared.errors import SignatureInvalid
from shared.keys import SYMMETRIC, KeySet
from shared.look_alikes import looks_like
from shared.mistaken_keys import mistaken_secrets
from shared.tokens import TokenParts, verify_signature

HALF_HOUR = 1800  # seconds: time zones differ by whole multiples of it
MOST_CLAIMS = 40  # the most names that are compared
NEAR = 120  # seconds: the greatest deviation from a multiple of HALF_HOUR
_AROUND_A_TOKEN = re.compile(r"[\s&?\"']+|(?<=[a-z])=(?=e)")  # in base64, every JSON object begins with e
_SYNONYMS = {
    "iat": {"issued", "issuedat", "timestamp", "created", "createdat"},
    "exp": {"expires", "expiry", "expiration", "expiresat", "expat"},
    "jti": {"id", "jwtid", "tokenid", "nonce", "uuid"},
    "email": {"mail", "emailaddress", "useremail", "upn"},
    "sub": {"subject", "userid", "user", "uid"},
    "iss": {"issuer"},
    "aud": {"audience"},
}


def peek(token: str) -> tuple[Mapping[str, Any] | None, bytes | None]:
    """Return the header and the bytes of the payload for display. Each is None if it cannot be read.

    The token is parsed leniently, so the result must never be trusted.
    """
    probable = max(_AROUND_A_TOKEN.split(token), key=len)
    header, payload = (_decoded(piece) for piece in [*probable.split("."), "", ""][:2])
    try:
        value = json.loads(header) if header else None
    except (ValueError, RecursionError):
        value = None
    return (value if isinstance(value, dict) else None), payload


def explain_form(token: str) -> str:
    """Say why *token* does not have the form of a token."""
    header, _payload = peek(token)
    pieces = token.split(".")
    cases = (
        (token != token.strip(), "There is white space or a line break around the token. Remove it."),
        (
            token[:7].lower() == "bearer ",
            "Remove the word Bearer: it is the scheme of the header, not part of the token.",
        ),
        (
            "://" in token or token.startswith("?"),
            "This is a whole URL. Enter only the value of its token parameter.",
        ),
        ("%" in token, "The token is percent-encoded once too often. Send it without percent-encoding."),
        (token[:1] in "\"'", "The token is in quotation marks. Remove them."),
        (len(pieces) == 5, "The token is encrypted (JWE). Have the sender sign it only (JWS)."),
        (len(pieces) < 3, "A part is missing: the token was truncated, or it was never signed."),
        (
            any(sign in token for sign in "+/"),
            "It is encoded as base64. Use base64url: - and _ instead of + and /.",
        ),
        ("=" in token, "It is padded with =. Remove the padding (RFC 7515, section 2)."),
    )
    found = [text for holds, text in cases if holds]
    return " ".join(found + explain_header(header or {})) or "Create the token with a JWT library."


def explain_header(header: Mapping[str, Any]) -> list[str]:
    """Name the members of the header that are misspelled."""
    wanted = {"alg": "alg", "algorithm": "alg", "typ": "typ", "type": "typ", "kid": "kid"}
    return [
        f"The header has {name}; it must be {wanted[name.lower()]} (RFC 7515, section 4.1)."
        for name in header
        if name not in ("alg", "typ", "kid") and name.lower() in wanted
    ]


def explain_payload(octets: bytes) -> str:
    """Say why the payload is not a JSON object."""
    if octets[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in octets[:4]:
        return "It is encoded in UTF-16. Use UTF-8."
    if octets[:3] == b"\xef\xbb\xbf":
        return "It begins with a byte order mark. Remove it."
    try:
        value = json.loads(octets)
    except (ValueError, RecursionError):
        if octets[:2] in (b"{'", b"{ '"):
            return "Its names are in single quotes, but JSON requires double quotes. Use a JSON library."
        return "Encode it with a JSON library."
    if isinstance(value, list):
        return "It is a list. In PHP, pass an associative array to json_encode; elsewhere, pass an object."
    if isinstance(value, str):
        return "It was encoded as JSON twice. Encode it once."
    return "Send the claims as one JSON object, with each name once."


def payload_inside(octets: bytes | None) -> Mapping[str, Any] | None:
    """Return the claims from a payload of a wrong form, such as an array, or None if there are none."""
    try:
        value = json.loads(octets or b"")
        value = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, dict) else None


def explain_claim(name: str, value: Any) -> str:
    """Say what is wrong with the *value* of a claim that has the wrong type."""
    if name not in ("iat", "exp", "nbf"):
        return (
            f"Send {name} as a string, in quotation marks."
            if _is_number(value)
            else f"Send {name} as a string, or leave it out."
        )
    if _is_number(value):
        if value <= LATEST_TIME:
            return "Send whole seconds since 1970."
        for factor, unit in ((1000, "milliseconds"), (1_000_000, "microseconds")):
            if value <= LATEST_TIME * factor:
                return f"This is in {unit}. Send {value // factor:.0f}. In JavaScript: Math.floor(Date.now() / 1000)."
        return "Send whole seconds since 1970."
    if isinstance(value, str) and value.strip().isdigit():
        return "Send the number without quotation marks."
    if isinstance(value, str):
        return f"This is a date as a string. Send whole seconds since 1970{_as_seconds(value)}."
    return "Send whole seconds since 1970, as a number."


def misspelt(wanted: str, names: Iterable[str]) -> str:
    """Name the misspelled claim that was probably meant as *wanted*, or say that a claim has an empty name.

    The result is empty if neither is found.

    Only the first MOST_CLAIMS names are compared, because a stranger may send any number of names.
    """
    names = [*islice(names, MOST_CLAIMS)]
    for name in names:
        bare = "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cf", "Zs"))
        if bare.lower() == wanted:
            return f"The token has {name!r}. Claim names are lower case, without spaces."
        if looks_like(bare) == wanted:
            return (
                f"The token has {name!a}: some of these letters are Cyrillic and only look alike. Type the name again."
            )
    for name in names:
        if "".join(filter(str.isalnum, name.lower())) in _SYNONYMS.get(wanted, ()):
            return f"The token has {name!r} instead. The claim must be named {wanted}."
    if "" in names:
        return "One claim has an empty name. In some published samples a name is missing there."
    return ""


def explain_signature(parts: TokenParts, keys: KeySet, algorithm: str) -> str:
    """Say how the sender probably misused the key, by trying the known errors."""
    named = parts.header["alg"]
    if named.lower() == "none":
        return "The token is not signed at all."
    for key in keys.keys:
        for what, mistaken in mistaken_secrets(key, named if named in SYMMETRIC else algorithm):
            if _fits(parts, KeySet((mistaken,)), mistaken.algorithm):
                return (
                    f"It matches the secret {key.fingerprint} {what}. "
                    "The sender must use the text of the secret as its bytes."
                )
    if not keys.candidates(parts.header.get("kid")):
        return f"The kid in the header is unknown; known: {', '.join(key.kid or '' for key in keys.keys)[:300]}."
    if named.startswith("ES") and parts.signature[:1] == b"0" and len(parts.signature) not in (64, 96, 132):
        return "The signature is DER-encoded. A token needs r and s concatenated (RFC 7518, section 3.4)."
    return "The two sides have different keys. Copy the key again, or generate one here and enter it there."


def explain_clock(seconds: float) -> str:
    """Explain a clock difference of *seconds* (positive: the sender's clock is ahead)."""
    off = abs(seconds)
    if off > HALF_HOUR - NEAR and (off + NEAR) % HALF_HOUR <= 2 * NEAR:
        return "The difference is a multiple of half an hour: the sender probably uses local time instead of UTC."
    return "Synchronise both servers with NTP. The setting clock_skew allows a few seconds of difference."


def _decoded(piece: str) -> bytes | None:
    piece = "".join(piece.replace("+", "-").replace("/", "_").rstrip("=").split())
    try:
        return urlsafe_b64decode(piece + "=" * (-len(piece) % 4))
    except ValueError:
        return None


def _fits(parts: TokenParts, keys: KeySet, algorithm: str) -> bool:
    try:
        verify_signature(parts, keys, algorithm)
    except SignatureInvalid:
        return False
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_seconds(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return ""
    return f", in this case {int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())}"
