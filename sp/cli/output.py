"""How the command lines speak: tables for people, JSON for programs, refusals with status 1."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], as_json: bool) -> None:
    """Print *rows*: all of them as JSON, or their *columns*, one row to a line."""
    if as_json:
        click.echo(json.dumps(list(rows), ensure_ascii=False))
        return
    for row in rows:
        click.echo("  ".join(_cell(row, column) for column in columns))


def fail(message: str) -> NoReturn:
    """End with status 1, a finding or a refusal, and the *message*."""
    click.echo(message, err=True)
    sys.exit(1)


def read_password() -> str:
    """Return the first line of standard input, so that no password stands in a list of processes."""
    return sys.stdin.readline().rstrip("\r\n")


def _cell(row: Mapping[str, Any], column: str) -> str:
    value = row[column]
    if isinstance(value, bool):
        return column if value else f"not {column}"
    return ",".join(value) if isinstance(value, list) else str(value)
