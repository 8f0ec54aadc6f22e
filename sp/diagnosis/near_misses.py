"""The mistakes that senders of tokens are known to make, recognised and put into words.

Pure, and without any say in what is accepted: a token that needs one of these explanations was refused already. The
list comes from what published samples show and what people ask about: claims in capitals, an exp in Cyrillic letters,
milliseconds, dates as text, a payload that is an array, a secret that was decoded or has a line break behind it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from shared.claims import LATEST_TIME
from shared.errors import SignatureInvalid
from shared.keys import SYMMETRIC, KeySet
from shared.mistaken_keys import mistaken_secrets
from shared.tokens import Parts, verify_signature

HALF_HOUR = 1800  # seconds: time zones differ by whole multiples of it
NEAR = 120  # seconds: how far from such a multiple a mistaken time zone may lie
# Cyrillic small letters, by number because nobody could tell them here, and the Latin ones that they look like.
_LOOK_ALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u04bb\u043a\u0432\u043c\u043d\u0442\u043f\u04cf",
    "aeopcyxijsdhkbmhtnl",
)
_AROUND_A_TOKEN = re.compile(r"[\s&?\"']+|(?<=[a-z])=(?=e)")  # e begins every JSON object in base64
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
    """Return the header and the octets of the payload, read with every indulgence, for showing them; None if hopeless.

    Nothing that comes from here may be believed.
    """
    probable = max(_AROUND_A_TOKEN.split(token), key=len)
    header, payload = (_decoded(piece) for piece in [*probable.split("."), "", ""][:2])
    try:
        value = json.loads(header) if header else None
    except (ValueError, RecursionError):
        value = None
    return (value if isinstance(value, dict) else None), payload


def explain_form(token: str) -> str:
    """Say why *token* does not look like one."""
    header, _payload = peek(token)
    pieces = token.split(".")
    cases = (
        (token != token.strip(), "There is white space or a line break around the token: send it without."),
        (token[:7].lower() == "bearer ", "The word Bearer belongs to the header's scheme, not to the token."),
        (
            "://" in token or token.startswith("?"),
            "This is a whole address: give the value of its token parameter only.",
        ),
        ("%" in token, "The token is percent-encoded once too often: send its dots and letters as they are."),
        (token[:1] in "\"'", "The token stands in quotation marks: send it without."),
        (len(pieces) == 5, "It is encrypted (JWE). Have the sender sign it only (JWS)."),
        (len(pieces) < 3, "A part is missing: the token was cut off on the way, or it was never signed."),
        (
            any(sign in token for sign in "+/"),
            "It is encoded in base64, where base64url is needed: - and _ for + and /.",
        ),
        ("=" in token, "It is padded with = signs: base64url in a token has none (RFC 7515, section 2)."),
    )
    found = [text for holds, text in cases if holds]
    return " ".join(found + explain_header(header or {})) or "Build the token with a JWT library instead of by hand."


def explain_header(header: Mapping[str, Any]) -> list[str]:
    """Say which members of the header are spelled otherwise than they must be."""
    wanted = {"alg": "alg", "algorithm": "alg", "typ": "typ", "type": "typ", "kid": "kid"}
    return [
        f"The header writes {name}, it must be {wanted[name.lower()]} (RFC 7515, section 4.1)."
        for name in header
        if name not in ("alg", "typ", "kid") and name.lower() in wanted
    ]


def explain_payload(octets: bytes) -> str:
    """Say why the payload is no JSON object."""
    if octets[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in octets[:4]:
        return "It is in UTF-16: encode it in UTF-8."
    if octets[:3] == b"\xef\xbb\xbf":
        return "It begins with a byte order mark: leave that out."
    try:
        value = json.loads(octets)
    except (ValueError, RecursionError):
        if octets[:2] in (b"{'", b"{ '"):
            return "Its names stand in single quotes: JSON has double ones. Use a JSON library."
        return "Encode it with a JSON library."
    if isinstance(value, list):
        return (
            "It is a list. In PHP, give json_encode an associative array; elsewhere, an object and not a list of one."
        )
    if isinstance(value, str):
        return "It was encoded as JSON twice: encode the object, not its text."
    return "Put the claims into one JSON object, each name once."


def payload_inside(octets: bytes | None) -> Mapping[str, Any] | None:
    """Return the claims that were probably meant, from a payload of another form; None if there are none."""
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
            f"Send {name} as text, in quotation marks." if _is_number(value) else f"Send {name} as text, or not at all."
        )
    if _is_number(value):
        if value <= LATEST_TIME:
            return "Send whole seconds since 1970."
        for factor, unit in ((1000, "milliseconds"), (1_000_000, "microseconds")):
            if value <= LATEST_TIME * factor:
                return f"These are {unit}: send {value // factor:.0f}. In JavaScript: Math.floor(Date.now() / 1000)."
        return "Send whole seconds since 1970."
    if isinstance(value, str) and value.strip().isdigit():
        return "Send the number without quotation marks."
    if isinstance(value, str):
        return f"This is a date as text: send whole seconds since 1970{_as_seconds(value)}."
    return "Send whole seconds since 1970, as a number."


def misspelt(wanted: str, names: Iterable[str]) -> str:
    """Say under which other name the claim *wanted* probably came; empty if none looks like it."""
    for name in names:
        bare = "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cf", "Zs"))
        if bare.lower() == wanted:
            return f"It came as {name!r}: the names of claims are in small letters, without spaces."
        if bare.lower().translate(_LOOK_ALIKES) == wanted:
            return f"It came as {name!a}: some of these letters are Cyrillic and only look alike. Type it anew."
    for name in names:
        if "".join(filter(str.isalnum, name.lower())) in _SYNONYMS.get(wanted, ()):
            return f"Perhaps {name!r} is what was meant: its name must be {wanted}."
    if "" in names:
        return "There is a claim whose name is empty: some published samples lost a name there."
    return ""


def explain_signature(parts: Parts, keys: KeySet, algorithm: str) -> str:
    """Say what the sender probably made of the key, by trying the known mistakes."""
    named = parts.header["alg"]
    if named.lower() == "none":
        return "The token is not signed at all."
    for key in keys.keys:
        for what, mistaken in mistaken_secrets(key, named if named in SYMMETRIC else algorithm):
            if _fits(parts, KeySet((mistaken,)), mistaken.algorithm):
                return (
                    f"It fits the secret {key.fingerprint} {what}: the sender must use the secret's text as its bytes."
                )
    if not keys.candidates(parts.header.get("kid")):
        return f"The header's kid is none of {', '.join(key.kid or '' for key in keys.keys)[:300]}."
    if named.startswith("ES") and parts.signature[:1] == b"0" and len(parts.signature) not in (64, 96, 132):
        return "The signature is in DER: in a token r and s stand side by side (RFC 7518, section 3.4)."
    return "The two sides hold different keys: copy it again, or generate one here and take it over there."


def explain_clock(seconds: float) -> str:
    """Say what a clock that is wrong by *seconds* (positive: the sender's is ahead) comes from."""
    off = abs(seconds)
    if off > HALF_HOUR - NEAR and (off + NEAR) % HALF_HOUR <= 2 * NEAR:
        return "It is off by whole half hours: the sender probably takes local time for UTC."
    return "Let both servers take their time from NTP; a few seconds can be allowed by clock_skew."


def _decoded(piece: str) -> bytes | None:
    piece = "".join(piece.replace("+", "-").replace("/", "_").rstrip("=").split())
    try:
        return urlsafe_b64decode(piece + "=" * (-len(piece) % 4))
    except ValueError:
        return None


def _fits(parts: Parts, keys: KeySet, algorithm: str) -> bool:
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
    return f", here {int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())}"
