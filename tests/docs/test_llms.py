"""llms.txt, the index for machines, has the form of llmstxt.org; tests/test_docs.py follows its links."""

import re

from tests.docs.documents import ROOT, text_of
from tools.docs_site import PAGES

TEXT = text_of(ROOT / "llms.txt")


def test_it_has_a_title_a_summary_and_sections_that_are_lists_of_links() -> None:
    head, *sections = re.split(r"^## ", TEXT, flags=re.MULTILINE)
    assert re.match(r"# .+\n\n> .+", head)
    assert [section.partition("\n")[0] for section in sections] == ["Guides", "Reference", "Optional"]
    for section in sections:
        lines = [line for line in section.splitlines()[1:] if line]
        assert [line for line in lines if not re.match(r"- \[[^\]]+\]\([^)]+\)(: .+)?$", line)] == []


def test_it_names_every_document_but_single_decisions() -> None:
    folders = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md") if "decisions" not in str(path)
    }
    expected = {name for name in folders | set(PAGES) if name != "docs/mutation.md"}
    assert [name for name in sorted(expected) if f"({name})" not in TEXT] == []
