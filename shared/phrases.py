"""Define texts that are written in English and shown in the reader's language.

shared/languages.py translates them. Programs and logs always get the English text. The catalogue contains the template
without values, so a phrase keeps the template and the values separate. Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, init=False)
class Phrase:
    """A text with values, such as `Phrase("It answered %(status)s", status=404)`. `str` returns the English text."""

    template: str
    values: Mapping[str, Any]

    def __init__(self, template: str, **values: Any) -> None:
        object.__setattr__(self, "template", template)
        object.__setattr__(self, "values", values)

    def __str__(self) -> str:
        return self.template % self.values if self.values else self.template


def N_(text: str) -> str:  # the name that gettext's tools know
    """Mark *text* for the catalogues. It is translated when a page shows it."""
    return text
