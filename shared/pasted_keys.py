"""Recognise a key of a key pair that was entered as a shared secret, in any of its usual encodings.

Everyone knows a public key, so if it is used as an HMAC secret, everyone can sign. A private key must not be used as a
secret either. This module recognises such keys by their content, not only by their first letters. It does not reject
ordinary secrets, even random ones in base64 or hexadecimal. Checking an ordinary secret takes microseconds.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import binascii
import json
import re
import warnings
from base64 import b64decode
from collections.abc import Callable, Iterator
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key
from cryptography.x509 import load_der_x509_certificate

PEM = "a PEM or SSH key cannot be a shared secret: choose an RS or ES algorithm for it"
JWK = "a JWK cannot be a shared secret: give the secret's text, or choose an RS or ES algorithm"

_ARMOUR = re.compile(r"----[ -]?BEGIN|BEGIN [A-Z0-9 ]{0,40}(?:PUBLIC KEY|PRIVATE KEY|CERTIFICATE)|PuTTY-User-Key-File")
_SSH = re.compile(r"\A(?:ssh-|ecdsa-|sk-ssh-|sk-ecdsa-)|\b(?:ssh-|ecdsa-|sk-)[a-z0-9@.-]{1,60}\s+AAAA")
_SSH_BLOB = re.compile(rb"\x00\x00\x00.(?:ssh-|ecdsa-|sk-)", re.DOTALL)  # RFC 4253, section 6.6: length and name
_BASE64 = re.compile(r"[A-Za-z0-9+/]{16,}\Z")
_HEXADECIMAL = re.compile(r"(?:[0-9A-Fa-f]{2}){16,}\Z")
_MEMBERS_OF_KEYS = {"kty", "keys"}
_SEQUENCE = 0x30  # the first byte of every key and certificate in DER
MAX_WRAPPERS = 3  # nested encodings that are checked, such as a JWK that contains a PEM, all in base64


def what_was_pasted(text: str, wrappers: int = MAX_WRAPPERS) -> str:
    """Return why *text* cannot be a shared secret, or "" if it is not a key of another kind."""
    text = text.strip()
    if _ARMOUR.search(text) or _SSH.search(text):
        return PEM
    if text.startswith(("{", "[", '"')):
        return _in_json(text, wrappers)
    for octets in _decoded(text):
        if _is_der_key(octets) or _SSH_BLOB.match(octets):
            return PEM
        if wrappers and octets.isascii() and (found := what_was_pasted(octets.decode(), wrappers - 1)):
            return found
    return ""


def _in_json(text: str, wrappers: int) -> str:
    try:
        waiting = [json.loads(text)]
    except RecursionError:
        return JWK
    except ValueError:
        return JWK if '"kty"' in text else ""  # a truncated key
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if not _MEMBERS_OF_KEYS.isdisjoint(value):
                return JWK
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and wrappers and (found := what_was_pasted(value, wrappers - 1)):
            return found
    return ""


def _decoded(text: str) -> Iterator[bytes]:
    """Yield *text* decoded from base64, base64url and hexadecimal, with line breaks and without padding."""
    compact = re.sub(r"\s|\\n|\\r", "", text).rstrip("=").translate(str.maketrans("-_", "+/"))
    if _HEXADECIMAL.match(compact):
        yield binascii.unhexlify(compact)
    if _BASE64.match(compact) and len(compact) % 4 != 1:
        yield b64decode(compact + "=" * (-len(compact) % 4))


def _is_der_key(octets: bytes) -> bool:
    """Tell whether *octets* begin with a public key, a private key or a certificate in DER."""
    octets = _first_element(octets)
    if not octets:
        return False
    loaders: tuple[Callable[[bytes], Any], ...] = (
        load_der_public_key,
        lambda der: load_der_private_key(der, None),
        load_der_x509_certificate,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the warnings are about old or unusual keys, which are rejected anyway
        return any(_loads(loader, octets) for loader in loaders)


def _loads(loader: Callable[[bytes], Any], octets: bytes) -> bool:
    try:
        loader(octets)
    except (TypeError, UnsupportedAlgorithm):
        return True  # a key with a password, or of an algorithm that is not known here
    except ValueError:
        return False
    return True


def _first_element(octets: bytes) -> bytes:
    """Return the sequence at the start of *octets* (X.690, section 8.1.3), or no bytes if it is incomplete."""
    if len(octets) < 2 or octets[0] != _SEQUENCE:
        return b""
    length, header = octets[1], 2
    if length > 0x80:
        header += length - 0x80
        length = int.from_bytes(octets[2:header])
    return octets[: header + length] if header + length <= len(octets) else b""
