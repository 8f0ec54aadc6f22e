"""List the common errors in a shared secret, so that the inspector can name the sender's error.

These keys are never used to accept a token. Otherwise a mistyped secret would be a second valid secret. Pure code: it
does no I/O and reads no clock.
"""

from __future__ import annotations

import binascii
import warnings
from base64 import b64decode, b64encode, urlsafe_b64decode
from collections.abc import Callable, Iterator

from joserfc.errors import SecurityWarning
from joserfc.jwk import OctKey

from shared.keys import SYMMETRIC, TokenKey

_MISTAKES: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
    ("with a line break behind it", lambda secret: secret + b"\n"),
    ("with a Windows line break behind it", lambda secret: secret + b"\r\n"),
    ("with a space behind it", lambda secret: secret + b" "),
    ("with a space before it", lambda secret: b" " + secret),
    ("in quotation marks", lambda secret: b'"' + secret + b'"'),
    ("decoded from base64", lambda secret: b64decode(_padded(secret), validate=True)),
    ("decoded from base64url", lambda secret: urlsafe_b64decode(_padded(secret))),
    ("encoded in base64", b64encode),
    ("decoded from hexadecimal", binascii.unhexlify),
    ("encoded in hexadecimal", binascii.hexlify),
    ("without its last character", lambda secret: secret[:-1]),
    ("without its first character", lambda secret: secret[1:]),
    ("in UTF-16", lambda secret: secret.decode().encode("utf-16-le")),
)


def mistaken_secrets(key: TokenKey, algorithm: str) -> Iterator[tuple[str, TokenKey]]:
    """Yield the wrong keys for *algorithm* that senders often derive from the secret *key*, each with a description.

    The first key is the secret itself. It matches if the sender signed the token with another algorithm.
    """
    if not isinstance(key.native, OctKey) or algorithm not in SYMMETRIC:
        return
    secret = key.native.raw_value
    yield "as it is", _key(secret, algorithm)
    for what, mistake in _MISTAKES:
        try:
            changed = mistake(secret)
        except ValueError:
            continue  # this error is not possible with this secret
        if changed and changed != secret:
            yield what, _key(changed, algorithm)


def _key(octets: bytes, algorithm: str) -> TokenKey:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # a decoded secret may be short; it never accepts a token
        native = OctKey.import_key(octets)
    return TokenKey(algorithm, None, "", True, native)


def _padded(secret: bytes) -> bytes:
    return secret + b"=" * (-len(secret) % 4)
