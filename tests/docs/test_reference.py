"""docs/reference says what the code says."""

from functools import cache

import pytest

from tools import reference


@cache
def pages() -> dict[str, str]:
    return reference.pages()


@pytest.mark.parametrize("name", ["settings.md", "urls.md", "errors.md", "command-line.md"])
def test_a_page_of_the_reference_is_what_the_code_says(name: str) -> None:
    """If this fails: python -m tools.reference, and commit docs/reference."""
    assert (reference.FOLDER / name).read_text(encoding="utf-8") == pages()[name]


def test_the_reference_has_no_other_pages() -> None:
    assert {path.name for path in reference.FOLDER.iterdir()} == set(pages())


def test_every_command_and_option_is_explained() -> None:
    rows = [line for line in pages()["command-line.md"].splitlines() if line.startswith("| `")]
    assert [row for row in rows if row.endswith("|  |")] == []
