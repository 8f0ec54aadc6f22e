"""Faults of a second use: the same token again, in the same or another spelling, or its jti in another token.

Each fault returns two tokens. The first token is valid. After the service provider has accepted it, the second token
must be rejected.
"""

from __future__ import annotations

import string
from base64 import urlsafe_b64decode

from lab.drafts import Draft
from lab.faults.fault import Fault
from lab.forging import ORDERS, encode

REPLAY_RULE = "RFC 7519, section 4.1.7"
SPELLING_RULE = "RFC 4648, section 3.5; the replay key is jti, not the text"
ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
UNUSED_BITS = {2: 4, 3: 2}  # of the last character, by the length modulo 4


def _replayed(good: Draft) -> tuple[str, str]:
    token = good.token()
    return token, token


def _padded(good: Draft) -> tuple[str, str]:
    token = good.token()
    signature = token.rpartition(".")[2]
    return token, token + "=" * (-len(signature) % 4 or 4)


def _last_character(good: Draft) -> tuple[str, str]:
    """Set an unused bit of the last character, so that the bytes of the signature stay the same."""
    token = good.token()
    return token, token[:-1] + ALPHABET[ALPHABET.index(token[-1]) | 1]


def _has_unused_bits(good: Draft) -> str:
    return "" if len(good.token().rpartition(".")[2]) % 4 in UNUSED_BITS else "its signature has no unused bits"


def _other_signature(good: Draft) -> tuple[str, str]:
    """Replace s by n - s in an ECDSA signature. This gives a second valid signature, and needs no key."""
    token = good.token()
    signing_input, _dot, signature = token.rpartition(".")
    octets = urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    half = len(octets) // 2
    s = ORDERS[good.key.algorithm] - int.from_bytes(octets[half:], "big")
    return token, f"{signing_input}.{encode(octets[:half] + s.to_bytes(half, 'big'))}"


def _ecdsa_only(good: Draft) -> str:
    return "" if good.key.algorithm in ORDERS else "it needs an EC key"


FAULTS = (
    Fault("replayed", "the same token is sent twice", REPLAY_RULE, _replayed, "hole", about="jti"),
    Fault(
        "replayed-padded",
        "the same token is sent again, with = at its end",
        SPELLING_RULE,
        _padded,
        "hole",
        about="jti",
    ),
    Fault(
        "replayed-last-character",
        "the same token is sent again, with an unused bit of its last character set",
        SPELLING_RULE,
        _last_character,
        "hole",
        about="jti",
        obstacle=_has_unused_bits,
    ),
    Fault(
        "replayed-other-signature",
        "the same token is sent again, with the other ECDSA signature that is valid (n - s)",
        "RFC 7518, section 3.4; the replay key is jti, not the text",
        _other_signature,
        "hole",
        about="jti",
        obstacle=_ecdsa_only,
    ),
    Fault(
        "jti-reused",
        "another token has the jti of one that was used",
        "RFC 7519, section 4.1.7: unique",
        lambda good: (good.token(), good.with_claims(iat=good.now - 1)),
        about="jti",
    ),
)
