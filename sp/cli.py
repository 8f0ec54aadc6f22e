"""The gateway's command lines. Exit status 0 is success, 1 a finding or a refusal, 2 wrong usage."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import click
from flask import Flask
from flask.cli import AppGroup

from shared.errors import Rejection
from shared.passwords import PasswordRefused
from shared.settings import SettingsRefused
from sp import config as settings
from sp.core import core
from sp.people import Person
from sp.provider_store import ProvidersRefused, StoredProvider
from sp.verification import is_plain_email

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
users = AppGroup("users", help="Accounts of the gateway.")
providers = AppGroup("providers", help="Identity providers that the gateway trusts.")


def install_commands(app: Flask) -> None:
    """Add the command groups to `flask --app sp`."""
    app.cli.add_command(users)
    app.cli.add_command(providers)


@users.command("list")
@as_json
def list_users(as_json: bool) -> None:
    """List every account."""
    rows = [_describe(person) for person in core().people.list()]
    _print_table(rows, ("email", "name", "active", "administrator", "groups"), as_json)


@users.command("create-admin")
@click.argument("email")
@click.option("--password-stdin", is_flag=True, required=True, help="Read the password from standard input.")
def create_admin(email: str, password_stdin: bool) -> None:
    """Create an administrator, or make the account with this address one."""
    if not is_plain_email(email):
        raise click.UsageError(f"{email} is no e-mail address")
    try:
        person = core().people.create_administrator(email, _password())
    except PasswordRefused as error:
        _fail(str(error))
    click.echo(f"{person.email} is an administrator. Sign in at {core().config.external_url}{_prefix()}/login?no_sso")


@users.command("disable")
@click.argument("email")
def disable(email: str) -> None:
    """Keep a person out, at once."""
    core().people.disable(_find(email).id)
    click.echo(f"{email} is disabled, and every session has ended.")


@users.command("enable")
@click.argument("email")
def enable(email: str) -> None:
    """Let a person in again."""
    try:
        core().people.enable(_find(email).id)
    except Rejection as rejection:
        _fail(rejection.explanation)
    click.echo(f"{email} is enabled.")


@users.command("sign-out")
@click.argument("email")
def sign_out(email: str) -> None:
    """End every session of a person."""
    click.echo(f"{core().people.sign_out(_find(email).id)} sessions of {email} have ended.")


@providers.command("apply")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@as_json
def apply(file: Path, as_json: bool) -> None:
    """Create or change the providers of a TOML file. Applied twice, it changes nothing."""
    try:
        document = settings.read_document(file)
        applied = core().providers.apply(document.get("providers", {}), actor="command line")
    except (ProvidersRefused, SettingsRefused) as error:
        _fail("\n".join(error.mistakes))
    if as_json:
        click.echo(json.dumps(vars(applied)))
        return
    for word in ("created", "changed", "unchanged"):
        for name in getattr(applied, word):
            click.echo(f"{name}: {word}")
    for name, secret in applied.generated.items():
        click.echo(f"{name}: a key was generated. It is shown once:\n{secret}")


@providers.command("list")
@as_json
def list_providers(as_json: bool) -> None:
    """List the providers."""
    rows = [
        {
            "name": item.provider.name,
            "display_name": item.provider.display_name,
            "enabled": item.provider.enabled,
            "default": item.provider.default,
            "algorithm": item.provider.algorithm,
            "keys": len(item.keys),
            "managed_by_file": item.managed_by_file,
        }
        for item in core().providers.load()
    ]
    _print_table(rows, ("name", "display_name", "enabled", "default", "algorithm", "keys"), as_json)


@providers.command("show")
@click.argument("name")
@as_json
def show(name: str, as_json: bool) -> None:
    """Show every setting of a provider. Its keys are named by fingerprint only."""
    stored = next((item for item in core().providers.load() if item.provider.name == name.lower()), None)
    if stored is None:
        _fail(f"there is no provider {name}")
    described = _describe_provider(stored)
    if as_json:
        click.echo(json.dumps(described, indent=2))
        return
    for setting, value in described.items():
        click.echo(f"{setting} = {json.dumps(value, ensure_ascii=False)}")
    for warning in stored.provider.warnings:
        click.echo(f"warning: {warning}", err=True)


@providers.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """Remove a provider with its keys. Accounts stay."""
    if not core().providers.remove(name.lower(), actor="command line"):
        _fail(f"there is no provider {name}")
    click.echo(f"{name}: removed")


def _describe(person: Person) -> dict[str, Any]:
    return {
        "email": person.email,
        "name": person.name,
        "active": person.is_active,
        "administrator": person.is_admin,
        "groups": list(person.groups),
    }


def _describe_provider(stored: StoredProvider) -> dict[str, Any]:
    return {
        "name": stored.provider.name,
        **stored.provider.as_settings(),
        "keys": [key.fingerprint for key in stored.keys],
        "managed_by_file": stored.managed_by_file,
    }


def _find(email: str) -> Person:
    person = core().people.find(email)
    if person is None:
        _fail(f"there is no account {email}")
    return person


def _password() -> str:
    return sys.stdin.readline().rstrip("\r\n")


def _prefix() -> str:
    return core().config.prefix


def _print_table(rows: list[dict[str, Any]], columns: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        click.echo("  ".join(_cell(row, column) for column in columns))


def _cell(row: Mapping[str, Any], column: str) -> str:
    value = row[column]
    if isinstance(value, bool):
        return column if value else f"not {column}"
    return ",".join(value) if isinstance(value, list) else str(value)


def _fail(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(1)
