"""The documents are in plain English: short sentences, the field's own terms, no ornaments."""

import re
from pathlib import Path

import pytest

from tests.docs.documents import DOCUMENTS, FENCE, name_of, text_of

ORNAMENTS = re.compile(
    r"\b(?:whoever|anew|at hand|of its own|of their own|stands? (?:in|at|there|behind|beside)|comes? to nothing|"
    r"(?:is|are|be) let in|nobody|turned away|judged?|judges|goes round|octets)\b",
    re.IGNORECASE,
)
NOT_PROSE = ("docs/reference/",)  # made from the code: its texts are the code's
QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"|^\| (?:Nobody|This form|Which|No service)[^|]*\|", re.MULTILINE)  # code; pages


@pytest.mark.parametrize(
    "document", [path for path in DOCUMENTS if not name_of(path).startswith(NOT_PROSE)], ids=name_of
)
def test_a_document_has_no_ornaments(document: Path) -> None:
    prose = QUOTED.sub("", FENCE.sub("", text_of(document)))
    assert ORNAMENTS.findall(prose) == []


def test_the_ornaments_are_found() -> None:
    assert ORNAMENTS.findall("Whoever stands there is let in anew, and nobody can tell.") != []
