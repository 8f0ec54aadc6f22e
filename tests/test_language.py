"""What a person reads is in plain English: pages, messages, commands, docstrings and comments, without ornaments."""

import ast
import io
import re
import tokenize
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

# "Address" is an e-mail, an IP or a URL, and says which. The address bar of a browser is called so.
BARE_ADDRESS = re.compile(
    r"(?<!-mail )(?<!email )(?<!IP )(?<!IPv4 )(?<!IPv6 )\baddress(?:es)?\b(?! bar\b)", re.IGNORECASE
)
IN_PROSE = re.compile(  # what is read by programmers only may use fewer words than a page
    r"\b(?:whoever|anew|at hand|of (?:its|their|his|her) own|comes? to nothing|(?:is|are|be) let in|nobody|turned away|"
    r"octets|lets? somebody in|small letters|sealed|skins?)\b",
    re.IGNORECASE,
)
MARKED = re.compile(r"`[^`]*`|\*\w+\*|\"[^\"]*\"|[A-Z_]{4,}")  # names in the code, and what is quoted

CODE = ("shared", "idp", "sp", "lab", "lychgate")
SOURCES = (*CODE, "tools", "bench", "examples", "tests")


def files(pattern: str) -> list[Path]:
    """Return the files of the packages that match, without tests."""
    found = [path for package in CODE for path in sorted((ROOT / package).rglob(pattern))]
    return [path for path in found if "tests" not in path.parts]


def sources() -> list[Path]:
    """Return every module of the project, tests too, except this one, which quotes the words."""
    found = [path for folder in SOURCES for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if path != Path(__file__)]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def ornaments(text: str) -> list[str]:
    return [found for found in ORNAMENTS.findall(THERE_IS_NONE.sub("", text)) if found]


def texts_of(module: Path) -> Iterator[str]:
    """Yield every text of a module that has a space in it: messages, help and docstrings."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield " ".join(node.value.split())


def prose_of(module: Path) -> Iterator[str]:
    """Yield the docstrings of a module and its comments, without names in the code and quotations."""
    source = module.read_text()
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            yield MARKED.sub("", " ".join(text.split()))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield MARKED.sub("", token.string)


@pytest.mark.parametrize("template", files("*.html"), ids=name_of)
def test_a_page_has_no_ornaments(template: Path) -> None:
    assert ornaments(" ".join(HIDDEN.sub(" ", template.read_text()).split())) == []


@pytest.mark.parametrize("module", files("*.py"), ids=name_of)
def test_messages_help_and_docstrings_have_no_ornaments(module: Path) -> None:
    assert [(text, found) for text in texts_of(module) if (found := ornaments(text))] == []


@pytest.mark.parametrize("module", sources(), ids=name_of)
def test_docstrings_and_comments_have_no_ornaments_and_say_which_address(module: Path) -> None:
    prose = list(prose_of(module))
    assert [(text, found) for text in prose if (found := IN_PROSE.findall(text))] == []
    assert [text for text in prose if BARE_ADDRESS.search(text)] == []


@pytest.mark.parametrize("template", files("*.html"), ids=name_of)
def test_a_page_says_which_address(template: Path) -> None:
    assert BARE_ADDRESS.findall(" ".join(HIDDEN.sub(" ", template.read_text()).split())) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the address of the page", True),
        ("an e-mail address, an IP address and an IPv6 address", False),
        ("the address bar", False),
    ],
)
def test_an_address_that_could_be_anything_is_found(text: str, found: bool) -> None:
    assert bool(BARE_ADDRESS.search(text)) is found


def test_ornaments_in_prose_are_found() -> None:
    assert len(IN_PROSE.findall("Whoever comes to a door of its own, nobody is let in anew")) == 5


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
