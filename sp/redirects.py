"""Validate return URLs, the URLs to which a browser may be redirected after a sign-in. All code uses this module.

Open redirects are possible if the check and the browser read a URL differently. So this module does not correct URLs:
if a path is not plain, or does not stay plain each time it is decoded, it is rejected. An absolute URL must have the
gateway's own origin, and the browser is redirected only to its path.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote, urlencode

MAX_LENGTH = 2048  # characters; docs/protocol.md
MAX_DECODINGS = 8  # if a path still changes after this many rounds of percent-decoding, it is rejected

_PLAIN = re.compile(r"/[!-~]*\Z", re.ASCII)  # printable ASCII without the space
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DOT_SEGMENT = re.compile(r"/\.{1,2}(?:/|\Z|;)")  # ";" ends a segment too, because some servers drop parameters first
_ABSOLUTE = re.compile(r"(https?://[^/?#]+)([/?#].*)?\Z", re.ASCII | re.IGNORECASE)
_HOST = r"(?:\[[^\]/]+\]|[^:/]+)"  # an IPv6 address has its colons in brackets
_DEFAULT_PORT = re.compile(rf"(http://{_HOST}):80\Z|(https://{_HOST}):443\Z")


def is_own_path(url: str) -> bool:
    """Tell whether *url* is a path on the gateway's own host, however it is decoded (docs/protocol.md)."""
    if len(url) > MAX_LENGTH or not _PLAIN.match(url):
        return False
    return is_plain_path(re.split(r"[?#]", url, maxsplit=1)[0])


def is_plain_path(path: str) -> bool:
    """Tell whether *path*, without a query, is plain. It is decoded repeatedly, and must be plain each time.

    A plain path has no dot segment, //, backslash or control character. Bytes that are not UTF-8 decode to U+FFFD, so
    they cannot hide a slash or a dot.
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
    """Tell whether *path* is plain, without decoding it."""
    return not ("//" in path or "\\" in path or _DOT_SEGMENT.search(path) or _CONTROL.search(path))


def own_path(url: str | None, external_url: str) -> str | None:
    """Return *url* as a path at *external_url*, or None if it is empty, leads elsewhere or is not plain.

    *external_url* is an origin without a path. If *url* is an absolute URL with that origin, return the rest of it: the
    path, the query and the fragment. Origins are compared as browsers compare them: the case of scheme and host is
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
    """Return the origin of an absolute http or https *url*, normalised for comparison. Return None for other texts."""
    found = _ABSOLUTE.match(url) if url else None
    return _origin(found[1]) if found else None


def add_query(url: str, **parameters: str) -> str:
    """Return *url* with *parameters* added to its query, before the fragment."""
    head, hash_sign, fragment = url.partition("#")
    joint = "&" if "?" in head else "?"
    return f"{head}{joint}{urlencode(parameters)}{hash_sign}{fragment}" if parameters else url


def _origin(text: str) -> str:
    """Return scheme://host[:port] normalised for comparison. A URL with a user name has a different origin."""
    found = _DEFAULT_PORT.match(text := text.lower())
    return found[1] or found[2] if found else text


own_origin = lru_cache(maxsize=64)(_origin)  # cached, because the URLs of sites rarely change
