"""Define the commands for people and for the audit log: flask --app idp users|audit.

The exit status is 0 for success, 1 for an error, whose reason is printed, and 2 for wrong usage or wrong settings.
Secrets are read from standard input or a prompt, never from the command line, because every process of the machine
could read them there.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click
from flask import Flask
from flask.cli import AppGroup, with_appcontext

from idp import backchannel
from idp.cli_doctor import doctor
from idp.cli_people import people
from idp.cli_services import keys, services
from idp.context import context
from idp.people import Person
from idp.stores import audit, sessions
from idp.stores.directory import PersonRefused, SqlDirectory
from shared.cli_output import as_json, fail, print_table, read_password, report
from shared.passwords import PasswordRefused

users = AppGroup("users", help="Manage people in the default directory.")


def register(app: Flask) -> None:
    """Give *app* its commands."""
    for command in (users, people, services, keys, show_audit, doctor):
        app.cli.add_command(command)


@users.command("add")
@click.argument("email")
@click.option("--given-name", default="", help="The claim given_name.")
@click.option("--family-name", default="", help="The claim family_name.")
@click.option("--group", "groups", multiple=True, help="May be given several times.")
@click.option("--attribute", "attributes", multiple=True, metavar="NAME=VALUE", help="A further field.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@as_json
def add_user(
    email: str,
    given_name: str,
    family_name: str,
    groups: tuple[str, ...],
    attributes: tuple[str, ...],
    password_stdin: bool,
    as_json: bool,
) -> None:
    """Create a person.

    Example: flask --app idp users add alice@example.com --group staff --password-stdin < password.txt
    """
    directory = _directory()
    fields = dict(_pair(text) for text in attributes)
    try:
        directory.add(
            email,
            read_password(password_stdin),
            given_name=given_name,
            family_name=family_name,
            groups=groups,
            attributes=fields,
        )
    except (PersonRefused, PasswordRefused) as refusal:
        fail(refusal)
    report({"email": email}, f"{email} can sign in now.", as_json=as_json)


@users.command("list")
@as_json
def list_users(as_json: bool) -> None:
    """List all people.

    Example: flask --app idp users list --json
    """
    everyone = [_row(person, disabled) for person, disabled in _directory().all()]
    print_table(everyone, ("email", "name", "groups", "state"), as_json)


@users.command("disable")
@click.argument("email")
@as_json
def disable_user(email: str, as_json: bool) -> None:
    """Disable a person, and end their sessions here and at the services.

    Example: flask --app idp users disable bob@example.com
    """
    try:
        person = _directory().set_disabled(email, True)
    except PersonRefused as refusal:
        fail(refusal)
    ended = sessions.end_sessions_of(person, reason="disabled")
    _report_ended(person, ended, "is disabled", as_json=as_json)


@users.command("enable")
@click.argument("email")
@as_json
def enable_user(email: str, as_json: bool) -> None:
    """Enable a person again.

    Example: flask --app idp users enable bob@example.com
    """
    try:
        person = _directory().set_disabled(email, False)
    except PersonRefused as refusal:
        fail(refusal)
    report({"email": person.email, "state": "enabled"}, f"{person.email} can sign in again.", as_json=as_json)


@users.command("set-password")
@click.argument("email")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@as_json
def set_password(email: str, password_stdin: bool, as_json: bool) -> None:
    """Give a person a new password, and end their sessions here and at the services.

    Example: flask --app idp users set-password alice@example.com --password-stdin < password.txt
    """
    try:
        person = _directory().set_password(email, read_password(password_stdin))
    except (PersonRefused, PasswordRefused) as refusal:
        fail(refusal)
    ended = sessions.end_sessions_of(person, reason="password changed")
    _report_ended(person, ended, "has a new password", as_json=as_json)


@click.command("audit")
@click.option("--email", default="", help="Only this person's entries.")
@click.option("--count", default=50, show_default=True)
@as_json
@with_appcontext
def show_audit(email: str, count: int, as_json: bool) -> None:
    """Show the latest sign-ins, refusals, tokens and sign-outs, newest first.

    If similar refusals come too fast, one row counts several of them. In this row, `times` is their number, and
    `last_at` is the time of the last one.

    Example: flask --app idp audit --email alice@example.com
    """
    columns = ("at", "event", "times", "last_at", "email", "service", "address", "token_id", "detail")
    rows = [
        {column: getattr(entry, column) for column in columns}
        | {"at": _second(entry.at), "last_at": _second(entry.last_at) if entry.last_at else ""}
        for entry in audit.latest(count, email)
    ]
    print_table(rows, columns, as_json)


def _report_ended(person: Person, ended: sessions.Ended, what: str, *, as_json: bool) -> None:
    """Notify the services at once, and print the outcome for each; the running program retries failures."""
    text = f"{person.email} {what}; sessions ended: {ended.sessions}."
    outcomes = backchannel.tell(ended)
    services = [
        {"service": one.title, "told": one.told, "ended": one.ended, "problem": str(one.problem or "")}
        for one in outcomes
    ]
    report({"email": person.email, "sessions": ended.sessions, "services": services}, text, *outcomes, as_json=as_json)


def _directory() -> SqlDirectory:
    people = context().people
    if not isinstance(people, SqlDirectory):
        fail("people are in another directory (IDP_PEOPLE): manage them there")
    return people


def _second(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _row(person: Person, disabled: bool) -> dict[str, Any]:
    return {
        "id": person.id,
        "email": person.email,
        "name": person.name,
        "given_name": person.given_name,
        "family_name": person.family_name,
        "groups": list(person.groups),
        "attributes": dict(person.attributes),
        "state": "disabled" if disabled else "enabled",
    }


def _pair(text: str) -> tuple[str, str]:
    """Return the two sides of NAME=VALUE, or end with status 2."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE")
    return name, value
