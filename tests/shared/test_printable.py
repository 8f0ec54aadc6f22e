"""Text of strangers on a terminal: no control sequences, and no forged lines or columns."""

import ast
import json
import sys
import unicodedata

import pytest

from lab.programs import ROOT
from shared.printable import printable, printable_cell, printable_json


def test_every_character_is_written_as_itself_or_as_an_escape_that_prints() -> None:
    for code in range(sys.maxunicode + 1):
        shown = printable(chr(code))
        kept = unicodedata.category(chr(code))[0] in "LMNPS" or unicodedata.category(chr(code)) == "Zs"
        assert (shown == chr(code)) == kept, hex(code)
        assert kept or shown.isascii()


def test_names_of_all_scripts_stay_as_they_are() -> None:
    for name in ("Zoë O'Neill", "Владимир", "山田\u3000太郎", "محمد", "e\u0301", r"back\slash", "👋"):
        assert printable(name) == name == printable_cell(name)


def test_a_cell_makes_no_further_columns() -> None:
    assert printable_cell("Bob  active  administrator") == r"Bob \x20active \x20administrator"
    assert printable_cell("Bob\u2003\u3000 active") == "Bob\u2003\\u3000\\x20active"


@pytest.mark.parametrize("indent", [None, 2])
def test_json_stays_json_with_the_very_same_value(indent: int | None) -> None:
    value = {"name": 'Zoë\n\x1b[2J\x9b\u202e\u2028\U000e0001\ud800 "quoted" \\', "list": ["山\u3000田", 1]}
    shown = printable_json(value, indent)
    assert json.loads(shown) == value
    assert "Zoë" in shown
    assert shown.replace("\n", "").replace("\u3000", "").isprintable()


def test_nothing_in_the_command_lines_prints_by_itself() -> None:
    found = []
    for path in [*(ROOT / "sp" / "cli").glob("*.py"), *(ROOT / "idp").glob("c*.py")]:
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            printing = isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "click.echo", "click.secho")
            if printing:
                found.append(f"{name}: {ast.unparse(node)}")
    assert not found, "say() makes what strangers wrote printable"
