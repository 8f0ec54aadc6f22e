"""`flask --app sp users`: the accounts, for whoever has a shell on the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from flask.cli import AppGroup

from shared.errors import Rejection
from shared.passwords import PasswordRefused
from sp.accounts.manage import ControlledByProviders, Person
from sp.accounts.rows import KnownAs
from sp.cli.output import as_json, fail, print_table, read_password, say
from sp.components import core
from sp.signin.verification import is_plain_email

users = AppGroup("users", help="Accounts of the gateway.")


@users.command("list")
@as_json
def list_users(as_json: bool) -> None:
    """List every account."""
    rows = [_describe(person) for person in core().people.list()]
    print_table(rows, ("email", "name", "active", "administrator", "groups"), as_json)


@users.command("create-admin")
@click.argument("email")
@click.option("--password-stdin", is_flag=True, required=True, help="Read the password from standard input.")
@click.option("--keep-identities", is_flag=True, help="Trust the providers that sign people in as this account.")
def create_admin(email: str, password_stdin: bool, keep_identities: bool) -> None:
    """Create an administrator, or make the account with this address one.

    An account that providers sign people in to is refused unless you say --keep-identities: whoever they vouch for
    would be an administrator.
    """
    if not is_plain_email(email):
        raise click.UsageError(f"{email} is no e-mail address")
    try:
        appointed = core().people.create_administrator(email, read_password(), keep_identities=keep_identities)
    except PasswordRefused as error:
        fail(error)
    except ControlledByProviders as refusal:
        fail(
            f"{email} was not made an administrator, for these ids sign in as it:",
            *_list(refusal.identities),
            "Take another address, or say --keep-identities if you trust these providers to make administrators.",
        )
    if appointed.enabled:
        say("The account was disabled; it is enabled now.", err=True)
    if appointed.beyond_limit:
        limit = core().config.seat_limit
        say(f"More accounts are active now than the {limit} seats of SP_SEAT_LIMIT.", err=True)
    if appointed.kept:
        say("These ids were kept, and sign in as an administrator:", *_list(appointed.kept), err=True)
    address = f"{core().config.external_url}{core().config.prefix}/login?no_sso"
    say(f"{appointed.person.email} is an administrator. Sign in at {address}")


@users.command("disable")
@click.argument("email")
def disable(email: str) -> None:
    """Keep a person out, at once."""
    core().people.disable(_find(email).id)
    say(f"{email} is disabled, and every session has ended.")


@users.command("enable")
@click.argument("email")
def enable(email: str) -> None:
    """Let a person in again."""
    try:
        core().people.enable(_find(email).id)
    except Rejection as rejection:
        fail(rejection.explanation)
    say(f"{email} is enabled.")


@users.command("sign-out")
@click.argument("email")
def sign_out(email: str) -> None:
    """End every session of a person."""
    ended = core().people.sign_out(_find(email).id)
    say(f"{ended} {'session has' if ended == 1 else 'sessions have'} ended for {email}.")


def _describe(person: Person) -> dict[str, Any]:
    return {
        "email": person.email,
        "name": person.name,
        "active": person.is_active,
        "administrator": person.is_admin,
        "groups": list(person.groups),
    }


def _list(identities: Sequence[KnownAs]) -> list[str]:
    return [f"  {known.subject} at {known.provider}" for known in identities]


def _find(email: str) -> Person:
    person = core().people.find(email)
    if person is None:
        fail(f"there is no account {email}")
    return person
