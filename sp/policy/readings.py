"""Find the ways in which an application may read a path.

A rule is written for one spelling of a path, but the application may serve the same page for other spellings. A
stranger can send a path that has hundreds of readings, or whose readings take long to compute. So the work is limited,
and if a path needs more work, it counts as ambiguous. An ASCII path without percent signs and without `;` has at most
two readings, and never exceeds the limit if it has at most 64 KiB.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from urllib.parse import unquote

from sp.redirects import MAX_DECODINGS, is_plain_as_it_stands

MAX_READINGS = 32
MAX_WORK = 131_072  # characters of all readings together: enough for two of 64 KiB, the longest path in any server
_ESCAPE = 32  # decoding a percent sign takes as long as reading this many characters
MAX_MARKS = 30  # combining marks in sequence (UAX #15, Stream-Safe Text): the time to sort them grows quadratically
_PARAMETERS = re.compile(r";[^/]*")


def readings(path: str) -> tuple[str, ...]:
    """Return the ways in which an application may read *path*, which is decoded once and has no query.

    The path is percent-decoded repeatedly. Each result is also read in three more forms:

    - without `;parameters`, which some servers drop
    - without the slash at its end
    - in Unicode's form NFKC, which replaces, for example, full-width letters by ordinary ones

    If the path is ambiguous, the result is empty.
    """
    found: dict[str, None] = {}
    waiting, work = deque([(path, 0)]), 0
    while waiting:
        reading, decodings = waiting.popleft()
        if reading in found:
            continue
        work += len(reading) + _ESCAPE * reading.count("%")
        if work > MAX_WORK or len(found) == MAX_READINGS or decodings == MAX_DECODINGS:
            return ()
        if not reading.startswith("/") or not is_plain_as_it_stands(reading):
            return ()
        found[reading] = None
        waiting += ((unquote(reading, errors="replace"), decodings + 1), (shorn(reading), 0))
        if ";" in reading:
            waiting.append((_PARAMETERS.sub("", reading), 0))
        if not reading.isascii():
            if not _is_stream_safe(reading):
                return ()
            waiting.append((unicodedata.normalize("NFKC", reading), 0))
    return tuple(found)


def shorn(path: str) -> str:
    """Return *path* without the slash at its end, which many applications ignore."""
    return path.rstrip("/") or "/"


def _is_stream_safe(path: str) -> bool:
    """Tell whether no sequence of combining marks is longer than MAX_MARKS, even after decomposition."""
    decomposed = {character: unicodedata.normalize("NFKD", character) for character in set(path)}
    marks = {character for character, parts in decomposed.items() if unicodedata.combining(parts[0])}
    count = 0
    for character in path if marks else "":
        count = count + 1 if character in marks else 0
        if count > MAX_MARKS:
            return False
    return True
