"""Define the gateway's commands. Exit status 0 is success, 1 is a finding or a rejection, 2 is wrong usage.

Each command is imported when it is called, because a server needs none of the commands, and a command needs no other
command.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import click
from flask import Flask
from flask.cli import AppGroup

CONFIG = "config"
COMMANDS = {
    "users": "users.users",
    "providers": "providers.providers",
    "activity": "activity.activity",
    "assertion-keys": "explain.assertion_keys",
    CONFIG: "config.config",
    "inspect": "diagnosis.inspect_token",
    "check-idp": "diagnosis.check_idp",
    "doctor": "doctor.doctor",
    "doctor-echo": "doctor.doctor_echo",
    "explain": "explain.explain",
    "what-if": "what_if.what_if",
}
"""The module of this folder, and the command in it, by the name that people type."""


def install_commands(app: Flask, before_others: Callable[[], None] | None = None) -> None:
    """Add the commands to `flask --app sp`.

    *before_others* runs before any command is looked up, except `config`, which also works with an invalid file.
    """
    app.cli = Commands(app.cli.name, before_others)


class Commands(AppGroup):
    """The commands. *before_others* runs once, before a command other than `config` is looked up, or all are listed."""

    def __init__(self, name: str | None, before_others: Callable[[], None] | None) -> None:
        super().__init__(name)
        self._before_others = before_others

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command. Raises SettingsRefused."""
        if cmd_name != CONFIG:
            self._prepare()
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            module, _dot, name = COMMANDS[cmd_name].partition(".")
            self.add_command(getattr(import_module(f"{__name__}.{module}"), name), cmd_name)
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands. Raises SettingsRefused."""
        self._prepare()
        return sorted({*COMMANDS, *super().list_commands(ctx)})

    def load_all(self) -> None:
        """Import every command, to list them all with their options."""
        context = click.Context(self)
        for name in COMMANDS:
            self.get_command(context, name)

    def _prepare(self) -> None:
        if self._before_others is not None:
            self._before_others()
            self._before_others = None
