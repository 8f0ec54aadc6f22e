"""`flask --app sp explain` and `assertion-keys`: show which rule decides, and manage the identity assertion keys."""

from __future__ import annotations

import sys

import click
from flask.cli import AppGroup, with_appcontext

from shared.cli_output import as_json, fail, print_json, print_table, report, say
from sp.current import components
from sp.policy.decision import Policy
from sp.policy.explain import Explanation, Someone
from sp.policy.explain import explain as explanation_of
from sp.policy.rules import warnings
from sp.routes import HOME, Routes

assertion_keys = AppGroup("assertion-keys", help="Keys that sign the identity assertion.")


@click.command("explain")
@with_appcontext
@click.argument("method")
@click.argument("path", metavar="PATH-OR-URL")
@click.option("--user", metavar="EMAIL", help="The person who makes the request. Default: a visitor.")
@as_json
def explain(method: str, path: str, user: str | None, as_json: bool) -> None:
    """Say which rule decides about METHOD PATH-OR-URL, and why.

    A path belongs to the site of SP_EXTERNAL_URL. A URL may belong to any site in SP_CONFIG. Each rule is shown as hit,
    miss, or not reached. The exit status is 1 if the request is denied.

    Example: flask --app sp explain GET https://wiki.example.com/reports --user alice@example.com
    """
    core = components()
    if not path.startswith(("/", "http://", "https://")):
        raise click.UsageError("PATH must begin with /, and a URL with http:// or https://")
    place = core.rulebook.current.locate(path)
    if place is None:
        fail(f"{path} is not a URL of a listed site, so the request is denied")
    site = core.rulebook.current.named(place[0]) or core.rulebook.current.home
    own = Routes(core.config.prefix, core.config.external_url, core.config.is_demo)
    found = explanation_of(Policy(site.rules), own, method, place[1], _person(user), site.name)
    if as_json:
        print_json({**found.as_json(), "user": user})
    else:
        _print(found)
        for warning in warnings(site.rules):
            say(f"note: {warning}", err=True)
    sys.exit(1 if found.refused else 0)


def _print(found: Explanation) -> None:
    where = "" if found.site == HOME else f"{found.site} "
    say(f"{found.method} {where}{found.path}: {found.decision}")
    say(f"rule {found.rule}: {found.rule_text}" if found.rule else f"rule: {found.rule_text}")
    for reason in found.why:
        say(f"because {reason}" if reason == found.why[0] else f"    and {reason}")
    if found.shadow:
        say(f"note: {found.shadow}")
    for each in found.rules:
        say(f"  {each.result:11}  rule {each.number}: {each.text}")


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
