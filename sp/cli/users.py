"""`flask --app sp users`: manage accounts from a shell on the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from flask.cli import AppGroup

from shared.cli_output import as_json, fail, print_json, print_table, read_password, report, say
from shared.errors import Rejection
from shared.passwords import PasswordRefused
from shared.printable import printable
from sp.accounts.manage import AccountSummary, ControlledByProviders
from sp.accounts.rows import KnownAs
from sp.cli.own_url import own_url
from sp.current import components
from sp.signin.verification import is_plain_email

users = AppGroup("users", help="Accounts of the gateway.")


@users.command("list")
@as_json
def list_users(as_json: bool) -> None:
    """List every account.

    Example: flask --app sp users list --json
    """
    rows = [_describe(person) for person in components().people.list()]
    print_table(rows, ("email", "name", "active", "administrator", "groups"), as_json)


@users.command("create-admin")
@click.argument("email")
@click.option("--password-stdin", is_flag=True, required=True, help="Read the password from standard input.")
@click.option("--keep-identities", is_flag=True, help="Keep the IDs at providers that can sign in to this account.")
@as_json
def create_admin(email: str, password_stdin: bool, keep_identities: bool, as_json: bool) -> None:
    """Create an administrator, or make an existing account an administrator.

    An account that has IDs at identity providers is rejected without --keep-identities, because those providers could
    then sign people in as an administrator.

    Example: flask --app sp users create-admin carol@example.com --password-stdin < password.txt
    """
    if not is_plain_email(email):
        raise click.UsageError(f"{email} is not an e-mail address")
    try:
        appointed = components().people.create_administrator(email, read_password(), keep_identities=keep_identities)
    except PasswordRefused as error:
        fail(error)
    except ControlledByProviders as refusal:
        fail(
            f"{email} was not made an administrator, because these IDs can sign in to the account:",
            *_list(refusal.identities),
            "Use another e-mail address, or --keep-identities if you trust these providers to sign in administrators.",
        )
    if appointed.enabled:
        say("The account was disabled and is now enabled.", err=True)
    if appointed.beyond_limit:
        limit = components().config.seat_limit
        say(f"There are now more active accounts than the {limit} seats of SP_SEAT_LIMIT.", err=True)
    if appointed.kept:
        say("These IDs were kept and can sign in to the administrator's account:", *_list(appointed.kept), err=True)
    config = components().config
    url = f"{own_url(config)}{config.prefix}/login?no_sso"
    done = {
        "email": appointed.person.email,
        "sign_in_url": url,
        "enabled": appointed.enabled,
        "kept": [{"provider": known.provider, "subject": known.subject} for known in appointed.kept],
    }
    report(done, f"{appointed.person.email} is an administrator. Sign in at {url}", as_json=as_json)


@users.command("disable")
@click.argument("email")
@as_json
def disable(email: str, as_json: bool) -> None:
    """Disable an account, and end its sessions at once.

    Example: flask --app sp users disable bob@example.com
    """
    person = _find(email)
    components().people.disable(person.id)
    done = {"email": person.email, "active": False}
    report(done, f"{email} is disabled, and all of its sessions have ended.", as_json=as_json)


@users.command("enable")
@click.argument("email")
@as_json
def enable(email: str, as_json: bool) -> None:
    """Enable an account again.

    Example: flask --app sp users enable bob@example.com
    """
    person = _find(email)
    try:
        components().people.enable(person.id)
    except Rejection as rejection:
        fail(rejection.explanation)
    report({"email": person.email, "active": True}, f"{email} is enabled.", as_json=as_json)


@users.command("sign-out")
@click.argument("email")
@as_json
def sign_out(email: str, as_json: bool) -> None:
    """End every session of a person.

    Example: flask --app sp users sign-out bob@example.com
    """
    person = _find(email)
    ended = components().people.sign_out(person.id)
    text = f"{ended} {'session has' if ended == 1 else 'sessions have'} ended for {email}."
    report({"email": person.email, "sessions": ended}, text, as_json=as_json)


@users.command("export")
@click.argument("email")
def export(email: str) -> None:
    """Print what is stored about a person, as JSON: account, IDs at providers, sessions, activity, changes.

    Hashes of passwords, sessions and tokens are left out, and data that is deleted within a day: trial sign-ins, and
    tokens whose person is asked "Continue as X?".

    Example: flask --app sp users export alice@example.org > alice.json
    """
    kept = components().personal_data.export(email)
    if kept is None:
        fail(f"the account {email} does not exist")
    print_json(kept)


@users.command("remove")
@click.argument("email")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@as_json
def remove(email: str, yes: bool, as_json: bool) -> None:
    """Remove a person: the account, its IDs at providers and its sessions.

    The person's lines in the activity log stay, without e-mail, ID, IP, browser, detail and trace. If a provider still
    sends tokens for the person, the next sign-in can create a new account. To keep the person out, disable the account
    instead.

    Example: flask --app sp users remove alice@example.org
    """
    person = _find(email)
    if not yes:
        click.confirm(
            f"Remove {printable(person.email)} with all sessions? This cannot be undone", abort=True, err=True
        )
    removed = components().personal_data.remove(email)
    if removed is None:
        fail(f"the account {email} does not exist")
    report(
        vars(removed),
        f"{person.email} is removed; sessions ended: {removed.sessions}.",
        f"Lines that no longer name the person: {removed.activity} of the activity log, {removed.changes} of changes.",
        as_json=as_json,
    )


def _describe(person: AccountSummary) -> dict[str, Any]:
    return {
        "email": person.email,
        "name": person.name,
        "active": person.is_active,
        "administrator": person.is_admin,
        "administrator_through": person.admin_through,
        "groups": list(person.groups),
    }


def _list(identities: Sequence[KnownAs]) -> list[str]:
    return [f"  {known.subject} at {known.provider}" for known in identities]


def _find(email: str) -> AccountSummary:
    person = components().people.find(email)
    if person is None:
        fail(f"the account {email} does not exist")
    return person
