"""What the commands of both programs print: the same tables, the same JSON."""

from __future__ import annotations

import contextlib
import json
import os
import pty
from pathlib import Path

import click
import pytest

from lab.programs import ROOT
from shared.cli_output import fail, print_json, print_table, say
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


END = "\x04 end of what was printed"


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, **environ: str) -> str:
    """Return what a terminal gets from a table, a check and a stranger's text."""
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w") as terminal, contextlib.redirect_stdout(terminal):
        print_table(ROWS[:1], ("name", "active"), as_json=False)
        say("FAILED  expiry", "passed  age", "FAILEDNESS", "a \x1b[31mred\x1b[0m name")
        print(END, end="", flush=True)
        printed = b""
        while not printed.endswith(END.encode()):  # the kernel may hand a terminal's text over in pieces
            printed += os.read(reader, 10_000)
    os.close(reader)
    return printed.decode().removesuffix(END).replace("\r\n", "\n")


PLAIN = "name   active\nAlice  active\nFAILED  expiry\npassed  age\nFAILEDNESS\n"
PLAIN += "a \\x1b[31mred\\x1b[0m name\n"


def test_on_a_terminal_headers_are_bold_and_outcomes_have_a_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = on_a_terminal(monkeypatch, TERM="xterm")
    assert printed.startswith("\x1b[1mname   active\x1b[0m\nAlice  active\n")
    assert "\x1b[31mFAILED\x1b[0m  expiry\n\x1b[32mpassed\x1b[0m  age\nFAILEDNESS\n" in printed
    assert click.unstyle(printed) == PLAIN  # what a stranger wrote styles nothing


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_nothing_is_styled_if_the_person_or_the_terminal_says_so(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    assert on_a_terminal(monkeypatch, **environ) == PLAIN


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
