"""Hold the gateway's functions to a shape that a reader can keep in mind: how many arguments, how many lines."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_ARGUMENTS = 8  # self and cls not counted; what belongs together is a frozen dataclass, whose fields are not counted
MAX_LINES = 25  # of a function on the way of a sign-in, signature and docstring included

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(folder: Path) -> Iterator[tuple[str, Function]]:
    """Yield every function below *folder*, with the place where it begins."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(), path)):
            if isinstance(node, Function):
                yield f"{path.name}:{node.lineno}: {node.name}", node


def arguments(function: Function) -> int:
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args)]
    return len(names) + len(given.kwonlyargs) - (names[:1] in (["self"], ["cls"]))


def with_too_many_arguments(folder: Path) -> list[str]:
    return [place for place, function in functions(folder) if arguments(function) > MAX_ARGUMENTS]


def too_long(folder: Path) -> list[str]:
    return [place for place, node in functions(folder) if (node.end_lineno or 0) - node.lineno + 1 > MAX_LINES]


def test_no_function_of_the_gateway_takes_more_than_eight_arguments() -> None:
    assert with_too_many_arguments(ROOT / "sp") == []


@pytest.mark.parametrize("folder", ["signin", "signout"])
def test_no_function_of_a_sign_in_or_sign_out_is_long(folder: str) -> None:
    assert too_long(ROOT / "sp" / folder) == []


def test_planted_violations_are_found(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("class C:\n    def f(self, a, b, c, d, *, e, f, g, h): pass\n")
    assert with_too_many_arguments(tmp_path) == too_long(tmp_path) == []
    (tmp_path / "wide.py").write_text("def f(a, b, c, d, e, f, *, g, h, i): pass\n")
    (tmp_path / "long.py").write_text("def f():\n" + "    pass\n" * MAX_LINES)
    assert with_too_many_arguments(tmp_path) == ["wide.py:1: f"]
    assert too_long(tmp_path) == ["long.py:1: f"]
