"""`flask --app sp explain` and `assertion-keys`: say which rule decides, and manage the identity assertion keys."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import click
from flask.cli import AppGroup, with_appcontext

from shared.cli_output import as_json, fail, print_json, print_table, report, say
from sp.current import components
from sp.policy.explain import explain as explanation_of
from sp.policy.rules import warnings
from sp.routes import Routes

assertion_keys = AppGroup("assertion-keys", help="Keys that sign the identity assertion.")


@dataclass(frozen=True)
class Someone:
    """A person, as rules see them."""

    email: str
    groups: tuple[str, ...]


@click.command("explain")
@with_appcontext
@click.argument("method")
@click.argument("path")
@click.option("--user", metavar="EMAIL", help="The person who makes the request. Default: not signed in.")
@as_json
def explain(method: str, path: str, user: str | None, as_json: bool) -> None:
    """Say which rule decides about METHOD PATH, and why. Exit status 1: the request is denied.

    Example: flask --app sp explain GET /reports --user alice@example.com
    """
    if not path.startswith("/"):
        raise click.UsageError("PATH must begin with /")
    config = components().config
    found = explanation_of(config.rules, Routes(config.prefix), method, path, _person(user))
    if as_json:
        print_json({**found.as_json(), "user": user})
    else:
        say(f"{found.method} {found.path}: {found.verdict}")
        say(f"rule {found.rule}: {found.rule_text}" if found.rule else f"rule: {found.rule_text}")
        for reason in found.why:
            say(f"because {reason}" if reason == found.why[0] else f"    and {reason}")
        for warning in warnings(config.rules):
            say(f"note: {warning}", err=True)
    sys.exit(1 if found.refused else 0)


def _person(email: str | None) -> Someone | None:
    if email is None:
        return None
    person = components().people.find(email)
    if person is None:
        say(f"note: the account {email} does not exist; assuming a new account without groups", err=True)
        return Someone(email, ())
    if not person.is_active:
        fail(f"{person.email} is disabled, so only pages open to anyone are allowed")
    return Someone(person.email, tuple(person.groups))


@assertion_keys.command("list")
@as_json
def list_keys(as_json: bool) -> None:
    """List the keys, oldest first.

    Example: flask --app sp assertion-keys list --json
    """
    rows = [
        {"kid": age.kid, "created_at": age.created_at.isoformat(timespec="seconds"), "signs": signs}
        for age, signs in components().assertions.all()
    ]
    print_table(rows, ("kid", "created_at", "signs"), as_json)


@assertion_keys.command("rotate")
@as_json
def rotate(as_json: bool) -> None:
    """Create a new key. It is published at once and starts to sign after an hour.

    Example: flask --app sp assertion-keys rotate
    """
    kid = components().assertions.rotate()
    report({"kid": kid}, kid, as_json=as_json)
