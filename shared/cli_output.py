"""Print the output of the commands, as tables for people or as JSON for programs. Exit with status 1 on rejection.

Names, e-mails and claims come from strangers. So all commands print through these functions, which escape line breaks
and terminal control characters. On a terminal, headers are bold and outcomes have a colour, unless NO_COLOR is set
(https://no-color.org) or the terminal has no colours.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from shared.printable import printable, printable_cell, printable_json

INDENT = 2  # spaces; for all JSON that the commands print
COLORS = {"FAILED": "red", "passed": "green", "advice": "yellow"}  # by the outcome that a line begins with
_OUTCOME = re.compile(rf"(?:{'|'.join(COLORS)})(?= )")

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def say(*lines: object, err: bool = False) -> None:
    """Print each of *lines* on one line. With *err*, print to standard error."""
    for line in lines:
        text = printable(str(line))
        if found := _OUTCOME.match(text):
            text = click.style(found[0], fg=COLORS[found[0]]) + text[found.end() :]
        _print(text, err=err)


def report(done: Mapping[str, Any], *lines: object, as_json: bool) -> None:
    """Print the result of a command: *done* as JSON with *as_json*, otherwise *lines*."""
    if as_json:
        print_json(done)
    else:
        say(*lines)


def print_json(value: Any) -> None:
    """Print *value* as JSON."""
    click.echo(printable_json(value, INDENT))


def print_json_line(value: Any) -> None:
    """Print *value* as JSON on one line."""
    click.echo(printable_json(value, None))


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], as_json: bool) -> None:
    """Print the *columns* of *rows* as a table with a header. With *as_json*, print the whole rows as JSON."""
    if as_json:
        print_json(list(rows))
        return
    texts = [list(columns), *([_cell(row, column) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in texts) for index in range(len(columns))]
    lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in texts]
    _print(click.style(printable(lines[0]), bold=True))
    for line in lines[1:]:
        _print(printable(line))


def write_json(piece: str) -> None:
    """Write a *piece* of a JSON document that is too long for one string.

    If it contains texts from strangers, pass these through `printable_json` first.
    """
    click.echo(piece, nl=False)


class ProgressLine:
    """A line on a terminal's standard error that shows the present step of a long command."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty()

    def __call__(self, what: str, number: int) -> None:
        if self._shows:
            click.echo(f"\r{what}: {number:,}   ", nl=False, err=True)

    def end(self) -> None:
        """Clear the line."""
        if self._shows:
            click.echo("\r" + " " * 40 + "\r", nl=False, err=True)


def fail(*lines: object) -> NoReturn:
    """Print the reason, *lines*, to standard error, and exit with status 1, which means a finding or a rejection."""
    say(*lines, err=True)
    sys.exit(1)


def read_password(from_stdin: bool = True) -> str:
    """Return the password: the first line of standard input, or, without *from_stdin*, what the person types twice."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


def _print(text: str, *, err: bool = False) -> None:
    """Print *text*, which may be styled. click removes the styles unless it prints to a terminal."""
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    click.echo(text, err=err, color=False if is_plain else None)


def _cell(row: Mapping[str, Any], column: str) -> str:
    value = row[column]
    if isinstance(value, bool):
        return column if value else f"not {column}"
    return printable_cell(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
