"""Hold the gateway to a shape that a reader can keep in mind: arguments, lines, and what a sign-in loads."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_arrows import modules, nearest

ROOT = Path(__file__).resolve().parents[1]
MAX_ARGUMENTS = 8  # self and cls not counted; what belongs together is a frozen dataclass, whose fields are not counted
MAX_LOADED = 55  # modules of the gateway that the view of a sign-in loads; 6 are for its trace, 2 for the choice
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


def loaded_by(root: Path, start: str) -> set[str]:
    """Return the names of the gateway's modules that *start* imports, directly or not, itself included."""
    found = {module.name: module for module in modules(root) if module.name.startswith("sp.")}
    loaded, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name in loaded or name not in found:
            continue
        loaded.add(name)
        waiting += [nearest(imported, set(found)) for _node, imported in found[name].imports(for_types=False)]
    return {name for name in loaded if not found[name].path.endswith("__init__.py")}


def test_a_sign_in_loads_few_modules_and_no_settings_pages() -> None:
    loaded = loaded_by(ROOT, "sp.views.sso")
    assert len(loaded) <= MAX_LOADED
    assert {"sp.signin.binding", "sp.signin.verification", "sp.views.refusals", "sp.current"} <= loaded
    above = ("sp.admin", "sp.cli", "sp.components", "sp.diagnosis", "sp.gateway")
    assert [name for name in loaded if name.startswith(above)] == []


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


def test_what_an_import_brings_along_is_counted(tmp_path: Path) -> None:
    (tmp_path / "sp" / "views").mkdir(parents=True)
    (tmp_path / "sp" / "views" / "sso.py").write_text(
        "from sp.views import trial\nif TYPE_CHECKING:\n    import sp.heavy"
    )
    (tmp_path / "sp" / "views" / "trial.py").write_text("def late():\n    import sp.light")
    for name in ("light", "heavy", "other"):
        (tmp_path / "sp" / f"{name}.py").write_text("import flask")
    assert loaded_by(tmp_path, "sp.views.sso") == {"sp.views.sso", "sp.views.trial", "sp.light"}


PROGRAMS = ("sp", "idp", "lab")  # they do not import each other, but all import shared


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_two_classes_of_a_program_have_one_name(program: str) -> None:
    places: dict[str, list[str]] = {}
    for path in sorted([*(ROOT / program).rglob("*.py"), *(ROOT / "shared").rglob("*.py")]):
        name = str(path.relative_to(ROOT))
        if name.startswith("idp/tests/"):
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(name)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
