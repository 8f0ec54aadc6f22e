"""What the documents say, held against the source."""

import re
from pathlib import Path

import pytest

from shared.errors import REJECTIONS
from tools import sequence

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "idp" / "README.md"])
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_between_documents_leads_somewhere(document: Path) -> None:
    missing = [link for link in LINK.findall(document.read_text()) if not (document.parent / link).exists()]
    assert missing == []


def test_the_protocol_lists_every_code_with_its_status_and_no_other() -> None:
    listed = dict(re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \|", PROTOCOL, re.MULTILINE))
    assert listed == {code: str(rejection.status) for code, rejection in REJECTIONS.items()}


def test_the_readme_names_only_targets_that_make_knows() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^ {4})make ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_the_picture_of_a_sign_in_is_drawn_from_the_readme_as_it_is() -> None:
    """If this fails: python -m tools.sequence"""
    assert sequence.DRAWING.read_text() == sequence.draw(sequence.read(sequence.SOURCE.read_text()))


def test_a_line_that_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(sequence.NotUnderstood, match="loop every minute"):
        sequence.read("```mermaid\nsequenceDiagram\n    loop every minute\n```")


def test_decisions_are_short_and_say_what_was_decided_and_why() -> None:
    for decision in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        text = decision.read_text()
        assert re.match(r"# \d{4}: .+\n", text), decision.name
        assert "Decision" in text, decision.name
        assert len(text.split()) < 600, f"{decision.name} is longer than a page"
