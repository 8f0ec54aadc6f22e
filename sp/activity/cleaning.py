"""Remove tokens, secrets and nonces from a trace, and clip long texts.

A sender may write anything into a claim: a token of another service, the shared secret itself, a megabyte of text. So
every text is searched for tokens and for the given secrets. A claim with the name of a secret loses its value. Long
texts, long lists and deep objects are clipped, and marked as clipped.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from shared.tokens import redact

REDACTED = "[redacted]"
MARK = "…"  # the last character of a clipped text
MAX_NAME = 60  # characters of a claim's name
MAX_DEPTH = 4  # levels of objects and lists
MAX_COOKIES = 20
MAX_URL = 200  # characters
SHORTEST_SECRET = 8  # characters: a shorter secret would be found in ordinary words
PART_OF_SECRET = 16  # characters: this much of a secret's beginning counts as the secret, as its end may be cut off
LARGEST_NUMBER = 2**64
# Names of claims that contain a secret. The nonce is a secret while its sign-in is open.
_SECRET_NAME = re.compile(
    r"(?i)\Anonce\Z|pass(?:word|wd|code|phrase)|\bpwd\b|secret|credential|cookie|api_?key|private_?key"
    r"|authori[sz]ation|(?:access|refresh|id|bearer|auth|session|csrf|security)_?token|\Atoken\Z|\A[cs]_hash\Z|\Aat_hash\Z"
)


def clean(
    claims: Mapping[str, Any], secrets: Collection[str] = (), *, text: int = 200, items: int = 20
) -> tuple[dict[str, Any], bool]:
    """Return *claims* without secrets, and whether something was clipped.

    Texts are clipped to *text* characters, lists and objects to *items* members.
    """
    cleaner = _Cleaner(tuple(s for s in secrets if len(s) >= SHORTEST_SECRET), text, items)
    return cleaner.members(claims, 0), cleaner.clipped


def clean_text(text: str, secrets: Collection[str] = ()) -> str:
    """Return *text* without tokens and without the *secrets*, even if a secret was cut off before."""
    text = redact(text)
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET and secret[:PART_OF_SECRET] in text:
            text = _without(text, secret)
    return text


def _without(text: str, secret: str) -> str:
    text = text.replace(secret, REDACTED)
    while len(secret) > PART_OF_SECRET and (start := text.find(secret[:PART_OF_SECRET])) >= 0:
        size = PART_OF_SECRET
        while text.startswith(secret[: size + 1], start) and size < len(secret):
            size += 1
        text = text[:start] + REDACTED + text[start + size :]
    return text


def clean_id(value: str, secrets: Collection[str] = ()) -> str:
    """Return an e-mail address or an ID for its column. It is REDACTED if it contains a token or one of the *secrets*.

    Case is ignored, because an e-mail address is stored in lower case.
    """
    folded = value.lower()
    is_secret = any(len(secret) >= SHORTEST_SECRET and secret.lower() in folded for secret in secrets)
    return REDACTED if is_secret or redact(value) != value else value


def storable(text: str) -> str:
    """Return *text* with NUL and unpaired surrogates, which databases reject, written as escapes."""
    return text if text.isprintable() else text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def clip(text: str, size: int) -> str:
    """Return *text* in at most *size* characters, with a mark if some are missing."""
    return text if len(text) <= size else text[: size - 1] + MARK


def clip_bytes(text: str, size: int) -> str:
    """Return *text* in at most *size* bytes of UTF-8, with MARK at its end if it was clipped.

    *text* must be a result of `storable`: an unpaired surrogate could not be encoded.
    """
    octets = text.encode()
    if len(octets) <= size:
        return text
    return octets[: size - len(MARK.encode())].decode("utf-8", "ignore") + MARK


def clean_url(url: str | None) -> str | None:
    """Return *url* without its query and fragment, which may contain tokens. None stays None."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    path = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else parts.path
    return clip(redact(path), MAX_URL) + ("?…" if parts.query or parts.fragment else "")


def cookie_names(names: Collection[str]) -> tuple[str, ...]:
    """Return the first few *names* of cookies, sorted, without anything that looks like a token."""
    return tuple(clip(redact(name), MAX_NAME) for name in sorted(names)[:MAX_COOKIES])


@lru_cache(maxsize=512)  # each sender uses the same few names; limited, because strangers may send any
def _says_secret(name: str) -> bool | None:
    """Tell whether a claim of this *name* is secret. Return None if the name itself must be cleaned."""
    if clean_text(name) != name or not name.isprintable():
        return None
    return _SECRET_NAME.search(name) is not None


class _Cleaner:
    """Cleans one payload, and remembers whether it clipped something."""

    def __init__(self, secrets: tuple[str, ...], text: int, items: int) -> None:
        self._secrets, self._text, self._items = secrets, text, items
        self._shortest = min(map(len, secrets), default=MAX_NAME + 1)
        self.clipped = False

    def members(self, value: Mapping[str, Any], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, item in value.items():
            if len(found) >= self._items:
                self.clipped = True
                break
            secret = _says_secret(name) if len(name) < self._shortest and len(name) <= MAX_NAME else None
            if secret is None:
                name, secret = self._string(name, MAX_NAME), _SECRET_NAME.search(name[:MAX_NAME]) is not None
            found[name] = REDACTED if secret else self._value(item, depth)
        return found

    def _value(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return self._string(value, self._text)
        if kind is int or kind is float:
            return value if -LARGEST_NUMBER < value < LARGEST_NUMBER else self._cut()
        if value is None or kind is bool:
            return value
        if depth >= MAX_DEPTH or kind not in (dict, list):
            return self._cut()
        if kind is dict:
            return self.members(value, depth + 1)
        if len(value) > self._items:
            self.clipped = True
        return [self._value(item, depth + 1) for item in value[: self._items]]

    def _string(self, text: str, size: int) -> str:
        if len(text) >= SHORTEST_SECRET:
            text = clean_text(text, self._secrets)
        if len(text) > size:
            self.clipped = True
            text = clip(text, size)
        return storable(text)

    def _cut(self) -> str:
        self.clipped = True
        return MARK
