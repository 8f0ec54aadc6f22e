"""The documents agree with the code: what they name exists, and what exists is named."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from shared.errors import REJECTIONS
from sp.providers import Provider

ROOT = Path(__file__).parents[1]
PROTOCOL = ROOT / "docs" / "protocol.md"
SEEDS = "## Every setting and sentence of the seed documents"


def seed_rows() -> list[list[str]]:
    """Return the cells of every row of the table of the seeds."""
    section = PROTOCOL.read_text(encoding="utf-8").partition(SEEDS)[2]
    lines = [line for line in section.splitlines() if line.startswith("|") and not line.startswith(("| ---", "| What"))]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_row_of_the_seeds_has_a_place_and_a_test() -> None:
    rows = seed_rows()
    assert len(rows) > 50
    for row in rows:
        assert len(row) == 3, row
        assert all(row), row


@pytest.mark.parametrize("document", ["protocol.md", "security.md"])
def test_every_test_that_a_document_names_exists(document: str) -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", (ROOT / "docs" / document).read_text(encoding="utf-8"))
    assert len(named) > 25
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, (path, name)


@pytest.mark.parametrize("code", sorted(REJECTIONS))
def test_every_error_code_is_in_the_protocol_with_its_status(code: str) -> None:
    text = PROTOCOL.read_text(encoding="utf-8")
    status = REJECTIONS[code].status
    assert re.search(rf"`{code}`[^\n]*\b{status}\b|\b{status}\b[^\n]*`{code}`", text)


@pytest.mark.parametrize("setting", [f.name for f in fields(Provider) if f.name != "name"])
def test_every_setting_of_a_provider_is_in_the_protocol(setting: str) -> None:
    assert f"`{setting}`" in PROTOCOL.read_text(encoding="utf-8")


def test_the_readme_shows_the_sequence() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "sequenceDiagram" in readme
    for command in ("make demo", "make test"):
        assert command in readme


def test_every_link_of_a_document_leads_to_a_file() -> None:
    for document in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("idp/*.md")):
        for target in re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document}: {target}"
