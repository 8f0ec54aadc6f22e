"""The only judge of return addresses: may a browser be sent there after a sign-in?

An open redirect is found by spelling an address so that the judge and the browser read it differently. So there is
no parsing and no cleaning here: a path is either plain, in every decoding of it, or it is refused.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlencode

MAX_LENGTH = 2048
MAX_DECODINGS = 8  # a path that is still changing after so many rounds of percent-decoding is refused

_PLAIN = re.compile(r"/[!-~]*\Z", re.ASCII)  # printable ASCII without the space
_DOT_SEGMENT = re.compile(r"/\.{1,2}(?:/|\Z|;)")


def is_own_path(address: str) -> bool:
    """Tell whether *address* is a path of ours, in every reading of it (wire contract, "Return addresses")."""
    if len(address) > MAX_LENGTH or not _PLAIN.match(address):
        return False
    return is_plain_path(re.split(r"[?#]", address, maxsplit=1)[0])


def is_plain_path(path: str) -> bool:
    """Tell whether *path* (no query) has no dot segment, // or backslash or control character, however decoded."""
    for _ in range(MAX_DECODINGS):
        if "//" in path or "\\" in path or _DOT_SEGMENT.search(path) or not path.isprintable():
            return False
        decoded = unquote(path, errors="replace")
        if decoded == path:
            return True
        path = decoded
    return False


def own_path(address: str | None, external_url: str) -> str | None:
    """Return *address* as a path of ours, or None. An absolute address of our own origin counts as its path."""
    if not address:
        return None
    if address == external_url:
        return "/"
    if address.startswith((f"{external_url}/", f"{external_url}?")):
        address = "/" + address[len(external_url) :].removeprefix("/")
    return address if is_own_path(address) else None


def add_query(address: str, **parameters: str) -> str:
    """Return *address* with *parameters* added to its query, before the fragment."""
    head, hash_sign, fragment = address.partition("#")
    joint = "&" if "?" in head else "?"
    return f"{head}{joint}{urlencode(parameters)}{hash_sign}{fragment}" if parameters else address
