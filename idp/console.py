"""Print the output of the commands: tables for people, JSON for programs, errors with status 1.

Names and e-mails come from strangers, so all commands print through these functions: they escape line breaks and
terminal control characters.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from shared.printable import printable, printable_cell, printable_json


def say(*lines: object, err: bool = False) -> None:
    """Print each of *lines* on one line."""
    for line in lines:
        click.echo(printable(str(line)), err=err)


def say_json(value: Any) -> None:
    """Print *value* as JSON."""
    click.echo(printable_json(value, 2))


def table(rows: Sequence[Mapping[str, Any]], as_json: bool, columns: Sequence[str]) -> None:
    """Print *rows*: all of them as JSON, or the *columns* as a table."""
    if as_json:
        say_json(rows)
        return
    texts = [list(columns), *([_text(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in texts) for index in range(len(columns))]
    for line in texts:
        say("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def refuse(reason: object) -> NoReturn:
    """End with status 1 and the *reason*."""
    raise click.ClickException("\n".join(map(printable, str(reason).split("\n"))))


def read_password(from_stdin: bool) -> str:
    """Return a password from the first line of standard input, or from a prompt, typed twice."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


def pair(text: str) -> tuple[str, str]:
    """Return the two sides of NAME=VALUE, or end with status 2."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE")
    return name, value


def _text(value: Any) -> str:
    return printable_cell(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
