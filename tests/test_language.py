"""What a person reads is in plain English: pages, error texts, commands and docstrings, without ornaments."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ORNAMENTS = re.compile(
    r"\b(?:whoever|anew|at hand|of (?:its|their) own|stands? in|comes? to nothing|(?:is|are|be) let in|"
    r"nobody(?: (?:is|was|can))?|turned away|(?:is|are) no(?= (?!longer\b|more\b)[a-z]))\b",
    re.IGNORECASE,
)
HIDDEN = re.compile(r"{#.*?#}|{%.*?%}|{{.*?}}|<[^>]*>", re.DOTALL)  # of a template: what the page does not show
THERE_IS_NONE = re.compile(r"\bthere (?:is|are) no\b", re.IGNORECASE)  # ordinary English

CODE = ("shared", "idp", "sp", "lab")


def files(pattern: str) -> list[Path]:
    """Return the files of the three packages that match, without tests."""
    found = [path for package in CODE for path in sorted((ROOT / package).rglob(pattern))]
    return [path for path in found if "tests" not in path.parts]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def ornaments(text: str) -> list[str]:
    return [found for found in ORNAMENTS.findall(THERE_IS_NONE.sub("", text)) if found]


def texts_of(module: Path) -> Iterator[str]:
    """Yield every text of a module that has a space in it: messages, help and docstrings."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield " ".join(node.value.split())


@pytest.mark.parametrize("template", files("*.html"), ids=name_of)
def test_a_page_has_no_ornaments(template: Path) -> None:
    assert ornaments(" ".join(HIDDEN.sub(" ", template.read_text()).split())) == []


@pytest.mark.parametrize("module", files("*.py"), ids=name_of)
def test_messages_help_and_docstrings_have_no_ornaments(module: Path) -> None:
    assert [(text, found) for text in texts_of(module) if (found := ornaments(text))] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Whoever stands in the way is let in anew.", 4),
        ("Nobody was signed out", 1),
        ("this is no PEM", 1),
        ("an account that is no longer used", 0),
        ("There is no default.", 0),
    ],
)
def test_ornaments_are_found_and_ordinary_words_are_not(text: str, found: int) -> None:
    assert len(ornaments(text)) == found
