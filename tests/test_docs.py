"""The documents agree with the code: what they name exists, and what exists is named."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from shared.errors import REJECTIONS
from sp.providers.provider import Provider

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("docs", "idp", "examples", "bench")
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), ROOT / "llms.txt", *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
)
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
SEEDS = "## Every setting and sentence of the seed documents"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_between_documents_leads_somewhere(document: Path) -> None:
    links = LINK.findall(document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_protocol_lists_every_code_with_its_status_and_no_other() -> None:
    listed = dict(re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \|", PROTOCOL, re.MULTILINE))
    assert listed == {code: str(rejection.status) for code, rejection in REJECTIONS.items()}


@pytest.mark.parametrize("setting", [field.name for field in fields(Provider) if field.name != "name"])
def test_every_setting_of_a_provider_is_in_the_protocol(setting: str) -> None:
    assert f"`{setting}`" in PROTOCOL


def test_every_row_of_the_seeds_has_a_place_and_a_test() -> None:
    rows = seed_rows()
    assert len(rows) > 50
    for row in rows:
        assert len(row) == 3, row
        assert all(row), row
        assert re.search(r"\.py::test_\w+`", row[2]), row


@pytest.mark.parametrize("document", ["protocol.md", "security.md"])
def test_every_test_that_a_document_names_exists(document: str) -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", (ROOT / "docs" / document).read_text(encoding="utf-8"))
    assert len(named) > 25
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, (path, name)


def test_the_readme_names_only_targets_that_make_knows() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(
        re.findall(
            r"(?:`|^)(?:SP_APP=\S+ )?make ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
        )
    )
    assert {"demo", "test"} <= named <= targets


def test_decisions_are_short_and_say_what_was_decided() -> None:
    for decision in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        text = decision.read_text(encoding="utf-8")
        assert re.match(r"# \d{4}: .+\n", text), decision.name
        assert "Decision" in text, decision.name
        assert len(text.split()) < 650, f"{decision.name} is longer than a page"


def seed_rows() -> list[list[str]]:
    """Return the cells of every row of the table of the seeds."""
    section = PROTOCOL.partition(SEEDS)[2]
    lines = [line for line in section.splitlines() if line.startswith("|") and not line.startswith(("| ---", "| What"))]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
