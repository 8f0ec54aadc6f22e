"""Validate return URLs, in one place: may a browser be redirected there after a sign-in?

Attackers find open redirects with URLs that the check and the browser read differently. So this module does not correct
URLs: a path that is not plain, however often it is decoded, is rejected. An absolute URL must have our own origin, and
the browser gets only its path.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote, urlencode

MAX_LENGTH = 2048  # characters; docs/protocol.md
MAX_DECODINGS = 8  # a path that still changes after so many rounds of percent-decoding is rejected

_PLAIN = re.compile(r"/[!-~]*\Z", re.ASCII)  # printable ASCII without the space
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DOT_SEGMENT = re.compile(r"/\.{1,2}(?:/|\Z|;)")  # with ";": some servers drop parameters first
_ABSOLUTE = re.compile(r"(https?://[^/?#]+)([/?#].*)?\Z", re.ASCII | re.IGNORECASE)
_HOST = r"(?:\[[^\]/]+\]|[^:/]+)"  # an IPv6 address has its colons in brackets
_DEFAULT_PORT = re.compile(rf"(http://{_HOST}):80\Z|(https://{_HOST}):443\Z")


def is_own_path(url: str) -> bool:
    """Tell whether *url* is a path of ours, in every reading of it (docs/protocol.md)."""
    if len(url) > MAX_LENGTH or not _PLAIN.match(url):
        return False
    return is_plain_path(re.split(r"[?#]", url, maxsplit=1)[0])


def is_plain_path(path: str) -> bool:
    """Tell whether *path* (no query) has no dot segment, // or backslash or control character, however decoded.

    Bytes that are not UTF-8 decode to U+FFFD, so they cannot hide a slash or a dot.
    """
    for _ in range(MAX_DECODINGS):
        if not is_plain_as_it_stands(path):
            return False
        decoded = unquote(path, errors="replace")
        if decoded == path:
            return True
        path = decoded
    return False


def is_plain_as_it_stands(path: str) -> bool:
    """Tell the same about *path* without decoding it."""
    return not ("//" in path or "\\" in path or _DOT_SEGMENT.search(path) or _CONTROL.search(path))


def own_path(url: str | None, external_url: str) -> str | None:
    """Return *url* as a path of ours, or None. An absolute URL of our own origin counts as its path.

    *external_url* is an origin without a path. Origins are compared as in browsers: the case of scheme and host is
    ignored, and the scheme's default port may be omitted.
    """
    if not url:
        return None
    if found := _ABSOLUTE.match(url):
        origin, rest = found.groups(default="")
        if _origin(origin) != own_origin(external_url):
            return None
        url = rest if rest.startswith("/") else f"/{rest}"
    return url if is_own_path(url) else None


def origin_of(url: str | None) -> str | None:
    """Return the origin of an absolute http or https *url*, normalised for comparison, or None if it is not one."""
    found = _ABSOLUTE.match(url) if url else None
    return _origin(found[1]) if found else None


def add_query(url: str, **parameters: str) -> str:
    """Return *url* with *parameters* added to its query, before the fragment."""
    head, hash_sign, fragment = url.partition("#")
    joint = "&" if "?" in head else "?"
    return f"{head}{joint}{urlencode(parameters)}{hash_sign}{fragment}" if parameters else url


def _origin(text: str) -> str:
    """Return scheme://host[:port] normalised for comparison. A URL with a user name counts as another origin."""
    found = _DEFAULT_PORT.match(text := text.lower())
    return found[1] or found[2] if found else text


own_origin = lru_cache(maxsize=64)(_origin)  # of SP_EXTERNAL_URL and the sites, which do not change
