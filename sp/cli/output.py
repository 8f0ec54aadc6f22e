"""Print the output of the commands: tables for people, JSON for programs; exit with status 1 on rejection.

Names and claims come from strangers, so nothing else in the command lines prints: what is printed here fits its line
and does not command the terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from shared.printable import printable, printable_cell, printable_json

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def say(*lines: object, err: bool = False) -> None:
    """Print each of *lines* on one line."""
    for line in lines:
        click.echo(printable(str(line)), err=err)


def print_json(value: Any, indent: int | None = None) -> None:
    """Print *value* as JSON."""
    click.echo(printable_json(value, indent))


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], as_json: bool) -> None:
    """Print *rows*: all of them as JSON, or their *columns*, one row to a line."""
    if as_json:
        print_json(list(rows))
    else:
        say(*("  ".join(_cell(row, column) for column in columns) for row in rows))


def fail(*lines: object) -> NoReturn:
    """Exit with status 1, a finding or a rejection, and say why."""
    say(*lines, err=True)
    sys.exit(1)


def read_password() -> str:
    """Return the first line of standard input, to keep the password out of the process list."""
    return sys.stdin.readline().rstrip("\r\n")


def _cell(row: Mapping[str, Any], column: str) -> str:
    value = row[column]
    if isinstance(value, bool):
        return column if value else f"not {column}"
    return printable_cell(",".join(value) if isinstance(value, list) else str(value))
