"""What the commands of both programs print: the same tables, the same JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.programs import ROOT
from shared.cli_output import fail, print_json, print_table
from sp import create_app
from sp.config import load

ROWS = [
    {"name": "Alice", "groups": ["staff", "board"], "active": True, "id": 1},
    {"name": "Bob  Builder\n", "groups": [], "active": False, "id": 22},
]


def test_a_table_has_a_header_and_aligned_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(ROWS, ("name", "groups", "active"), as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "name               groups        active",
        "Alice              staff, board  active",
        r"Bob \x20Builder\n                not active",
    ]


def test_json_has_one_form_for_a_table_and_for_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(ROWS, ("name",), as_json=True)
    print_json({"name": "Alice"})
    assert capsys.readouterr().out == json.dumps(ROWS, indent=2) + '\n{\n  "name": "Alice"\n}\n'


def test_a_failure_has_status_1_and_one_line_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fail("one", "two\nlines")
    assert ended.value.code == 1
    assert capsys.readouterr().err == "one\ntwo\\nlines\n"


def test_no_command_writes_json_in_a_form_of_another(tmp_path: Path) -> None:
    commands = [*(ROOT / "sp" / "cli").glob("*.py"), *(ROOT / "idp").glob("cli*.py")]
    assert len(commands) >= 6
    assert [path.name for path in commands if "json.dumps(" in path.read_text() and "indent" in path.read_text()] == []
    app = create_app(load({"SP_INSTANCE": str(tmp_path)}))
    printed = app.test_cli_runner().invoke(args=["providers", "list", "--json"]).stdout
    assert printed == json.dumps(json.loads(printed), indent=2) + "\n"
