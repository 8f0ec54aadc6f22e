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
# "Address" is an e-mail, an IP or a URL, and says which.
BARE_ADDRESS = re.compile(r"(?<!-mail )(?<!IP )\baddress(?:es)?\b(?! bar\b)", re.IGNORECASE)
QUOTES_OLD_TEXTS = ("CHANGELOG.md", "CONTRIBUTING.md")  # earlier versions; the pairs of before and after
QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"|^\| (?:Nobody|This form|Which|No service)[^|]*\|", re.MULTILINE)  # code; pages


@pytest.mark.parametrize(
    "document", [path for path in DOCUMENTS if not name_of(path).startswith(NOT_PROSE)], ids=name_of
)
def test_a_document_has_no_ornaments(document: Path) -> None:
    prose = QUOTED.sub("", FENCE.sub("", text_of(document)))
    assert ORNAMENTS.findall(prose) == []


@pytest.mark.parametrize(
    "document", [path for path in DOCUMENTS if not name_of(path).startswith(NOT_PROSE + QUOTES_OLD_TEXTS)], ids=name_of
)
def test_a_document_says_which_address(document: Path) -> None:
    prose = " ".join(QUOTED.sub("", FENCE.sub("", text_of(document))).split())
    assert [prose[hit.start() - 60 : hit.end()] for hit in BARE_ADDRESS.finditer(prose)] == []


def test_an_address_that_could_be_anything_is_found() -> None:
    found = BARE_ADDRESS.findall("the address of the page; an e-mail address, an IP address, the address bar")
    assert found == ["address"]


def test_the_ornaments_are_found() -> None:
    assert ORNAMENTS.findall("Whoever stands there is let in anew, and nobody can tell.") != []
