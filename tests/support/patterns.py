"""Every regular expression of the three packages, found by reading their source, and texts that are nasty to it."""

import ast
import importlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("shared", "sp", "idp")
METHODS = ("match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer")
USES = re.compile(
    rf"\bre\b|\b({'|'.join(METHODS)})\b"
)  # what a module with a pattern, or the use of one, says somewhere
FILLING = "jwt"  # what a placeholder of a pattern that is put together at run time is filled with
CLASS_MEMBERS = "a0A.-_/ \n=%@"  # one of each class that patterns commonly name
END = "\x00"  # matches no pattern, so a pattern that needs more text has to backtrack


@dataclass(frozen=True)
class Used:
    """A pattern, where it is written, and the methods by which it is used anywhere."""

    where: str
    pattern: re.Pattern[Any]
    methods: tuple[str, ...]


def patterns(root: Path = ROOT) -> list[Used]:
    """Return all patterns. One that cannot be found out raises: none is left untested in silence."""
    texts = {path: path.read_text() for path in _sources(root)}
    trees = {path: ast.parse(text, path) for path, text in texts.items() if USES.search(text)}
    nodes = {path: list(ast.walk(tree)) for path, tree in trees.items()}
    methods = _methods_by_name(chain.from_iterable(nodes.values()))
    return [
        used
        for path, tree in trees.items()
        for used in _in_module(path.relative_to(root), tree.body, nodes[path], methods)
    ]


def nasty_texts(pattern: re.Pattern[Any], size: int) -> Iterator[Any]:
    """Yield texts of *size*, made of the parts of the pattern itself, with an end that does not match.

    One word repeated, two words in turn, and one word before another that is repeated.
    """
    words = _words(pattern)
    pairs = [pair for pair in product(words, repeat=2) if pair[0] != pair[1]]
    for first, again in [*(("", word) for word in words), *(("", a + b) for a, b in pairs), *pairs]:
        text = (first + again * (size // len(again) + 1))[: size - 1] + END
        yield text if isinstance(pattern.pattern, str) else text.encode("latin-1", "replace")


def run(pattern: re.Pattern[Any], method: str, text: Any) -> None:
    """Use *pattern* on *text* as the program does."""
    arguments = (text[:0], text) if method.startswith("sub") else (text,)
    outcome = getattr(pattern, method)(*arguments)
    if method == "finditer":
        for _ in outcome:
            pass


def _sources(root: Path) -> Iterator[Path]:
    for part in PARTS:
        for path in sorted((root / part).rglob("*.py")):
            if not {"tests", "migrations", "examples"} & set(path.relative_to(root).parts):
                yield path


def _in_module(path: Path, body: list[ast.stmt], nodes: list[ast.AST], methods: dict[str, set[str]]) -> Iterator[Used]:
    names = {
        id(node.value): node.targets[0].id
        for node in body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == "re":
            raise AssertionError(f"{path}:{node.lineno}: import re as a whole, so that its patterns are found")
        if not isinstance(node, ast.Call) or not _is_of_re(node.func):
            continue
        where, function = f"{path.as_posix()}:{node.lineno}", getattr(node.func, "attr", "")
        if function == "escape":
            continue
        if id(node) in names:
            name = names[id(node)]
            module = importlib.import_module(".".join(path.with_suffix("").parts))
            yield Used(f"{where} {name}", getattr(module, name), tuple(sorted(methods.get(name, METHODS))))
        elif function == "compile":
            raise AssertionError(f"{where}: give this pattern a name of the module, so that it is tested")
        else:
            yield Used(where, re.compile(_written(node.args[0], where)), (function,))


def _methods_by_name(nodes: Iterable[ast.AST]) -> dict[str, set[str]]:
    """Return by which methods a pattern is used, by its name; a pattern that is handed on is used by all of them."""
    found: dict[str, set[str]] = {}
    for node in nodes:
        if isinstance(node, ast.Attribute) and node.attr in METHODS and not _is_of_re(node):
            name = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            found.setdefault(name, set()).add(node.attr)
    return found


def _is_of_re(node: ast.AST) -> Any:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "re"


def _written(node: ast.AST, where: str) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(FILLING if isinstance(part, ast.FormattedValue) else _written(part, where) for part in parts)
    raise AssertionError(f"{where}: write this pattern where it is used, or give it a name of the module")


def _words(pattern: re.Pattern[Any]) -> list[str]:
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    runs, letters = _literals(_parser.parse(text, pattern.flags & ~re.UNICODE))
    return sorted({*runs, *letters, *CLASS_MEMBERS})


def _literals(parsed: Any) -> tuple[set[str], set[str]]:
    """Return the runs of literal characters of a parsed pattern, and the members of its classes."""
    runs, letters, run = set(), set(), ""
    for operator, argument in [*parsed, (None, None)]:
        if operator is _constants.LITERAL:
            run += chr(argument)
            continue
        if run:
            runs.add(run)
        run = ""
        if operator is _constants.IN:
            letters |= {chr(value) for kind, value in argument if kind is _constants.LITERAL}
        for inner in _inside(argument):
            more_runs, more_letters = _literals(inner)
            runs |= more_runs
            letters |= more_letters
    return runs, letters


def _inside(argument: Any) -> Iterator[Any]:
    """Yield the parsed patterns within an argument, however deep."""
    if isinstance(argument, _parser.SubPattern):
        yield argument
    elif isinstance(argument, (tuple, list)):
        for item in argument:
            yield from _inside(item)
