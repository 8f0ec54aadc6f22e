"""Find the ways in which an application may read a path. Pure.

A rule is written for one spelling of a path, but the application may serve the same page for other spellings.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

from sp.redirects import is_plain_path

_PARAMETERS = re.compile(r";[^/]*")


def readings(path: str) -> tuple[str, ...]:
    """Return the ways in which an application may read *path* (decoded once, no query); empty if it is ambiguous.

    Further rounds of percent-decoding; each of them without `;parameters`, which some servers drop, and without the
    slash at its end; and with characters such as the full-width letters replaced by those that they are compatible
    with (NFKC).
    """
    found: dict[str, None] = {}
    waiting = [path]
    while waiting:
        reading = waiting.pop(0)
        if reading in found:
            continue
        if not reading.startswith("/") or not is_plain_path(reading):
            return ()
        found[reading] = None
        waiting += (unquote(reading, errors="replace"), shorn(reading))
        if ";" in reading:
            waiting.append(_PARAMETERS.sub("", reading))
        if not reading.isascii():
            waiting.append(unicodedata.normalize("NFKC", reading))
    return tuple(found)


def shorn(path: str) -> str:
    """Return *path* without the slash at its end, which many applications ignore."""
    return path.rstrip("/") or "/"
