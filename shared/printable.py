"""Make text from strangers safe to print on one line of a log or of an administrator's terminal.

The text after a newline could look like one of our log lines. ESC and the C1 controls send commands to the terminal.
Bidirectional and other format characters change the visible order of a text. All of these characters are written as
escapes. Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

_MORE_SPACE = re.compile(r"(?<=\s)\s")


def printable(text: str) -> str:
    r"""Return *text* with each unprintable character written as an escape, such as \n or \u202e."""
    return text if text.isprintable() else "".join(c if _prints(c) else _escape(c) for c in text)


def printable_cell(text: str) -> str:
    r"""Return *text* for a table cell. Columns are two spaces apart, so a space after a space becomes \x20."""
    return _MORE_SPACE.sub(lambda found: "\\x20" if found[0] == " " else _escape(found[0]), printable(text))


def printable_json(value: Any, indent: int | None = None) -> str:
    r"""Return *value* as JSON. Printable characters stay; all others become \uXXXX, which has the same meaning."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if text.isprintable():
        return text
    return "".join(c if _prints(c) or c == "\n" else json.dumps(c)[1:-1] for c in text)


def _prints(character: str) -> bool:
    """Tell whether a character is printable. The spaces of all scripts count as printable."""
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
