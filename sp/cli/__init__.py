"""The gateway's command lines. Exit status 0 is success, 1 a finding or a rejection, 2 wrong usage."""

from __future__ import annotations

from flask import Flask

from sp.cli.activity import activity
from sp.cli.diagnosis import check_idp, inspect_token
from sp.cli.doctor import doctor, doctor_echo
from sp.cli.explain import assertion_keys, explain
from sp.cli.health import health
from sp.cli.providers import providers
from sp.cli.users import users
from sp.cli.what_if import what_if


def install_commands(app: Flask) -> None:
    """Add the commands to `flask --app sp`."""
    providers.add_command(health)
    diagnosis = (inspect_token, check_idp, doctor, doctor_echo, explain, what_if)
    for command in (users, providers, activity, assertion_keys, *diagnosis):
        app.cli.add_command(command)
