"""The gateway's command lines. Exit status 0 is success, 1 a finding or a rejection, 2 wrong usage."""

from __future__ import annotations

from collections.abc import Callable

import click
from flask import Flask
from flask.cli import AppGroup

from sp.cli.activity import activity
from sp.cli.config import config
from sp.cli.diagnosis import check_idp, inspect_token
from sp.cli.doctor import doctor, doctor_echo
from sp.cli.explain import assertion_keys, explain
from sp.cli.health import health
from sp.cli.providers import providers
from sp.cli.users import users
from sp.cli.what_if import what_if


def install_commands(app: Flask, before_others: Callable[[], None] | None = None) -> None:
    """Add the commands to `flask --app sp`.

    *before_others* is called before any command is looked up but `config`, which also works with a faulty file.
    """
    if before_others is not None:
        app.cli = _Commands(app.cli.name, before_others)
    providers.add_command(health)
    checks = (inspect_token, check_idp, doctor, doctor_echo, explain, what_if)
    for command in (users, providers, activity, assertion_keys, config, *checks):
        app.cli.add_command(command)


class _Commands(AppGroup):
    """The commands, with something to do before any of them but `config` is looked up."""

    def __init__(self, name: str | None, before_others: Callable[[], None]) -> None:
        super().__init__(name)
        self._before_others: Callable[[], None] | None = before_others

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command. Raises SettingsRefused."""
        if cmd_name != config.name:
            self._prepare()
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands. Raises SettingsRefused."""
        self._prepare()
        return super().list_commands(ctx)

    def _prepare(self) -> None:
        if self._before_others is not None:
            self._before_others()
            self._before_others = None
