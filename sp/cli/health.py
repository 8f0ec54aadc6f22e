"""`flask --app sp providers health`: how much time and size is left before sign-ins would be rejected."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
from flask.cli import with_appcontext

from shared.cli_output import as_json, fail, print_json, print_table, say
from sp.current import components
from sp.diagnosis.health import ON_ITS_WAY_OUT, ProviderHealth, amount


@click.command("health")
@click.argument("name", required=False)
@as_json
@with_appcontext
def health(name: str | None, as_json: bool) -> None:
    """Show how near the sign-ins of each provider come to a rejection, and the age of its keys.

    The exit status is 1 if a provider is "on its way out", or if the provider NAME does not exist. "On its way out"
    means that a trend of the last days will reach a limit. If nothing changes, people are refused from the day that the
    column refuses_on shows (in UTC).

    Example: flask --app sp providers health corporate
    """
    found = components().health.now()
    if name:
        found = [item for item in found if item.provider.name == name.lower()]
        if not found:
            fail(f"the provider {name} does not exist")
    if as_json:
        print_json([item.as_json() for item in found])
    else:
        _print(found)
    if any(item.state == ON_ITS_WAY_OUT for item in found):
        sys.exit(1)


def _print(found: Sequence[ProviderHealth]) -> None:
    states = [
        {
            "provider": item.provider.name,
            "state": item.state,
            "refuses_on": (item.worst and item.worst.refuses_on) or "-",
            "sign_ins_24h": item.sign_ins,
        }
        for item in found
    ]
    print_table(states, ("provider", "state", "refuses_on", "sign_ins_24h"), False)
    for item in found:
        if item.reason:
            say(f"{item.provider.name}: {item.reason}")
    margins = [
        {
            "provider": item.provider.name,
            "margin": report.limit.label,
            "usual": amount(report.usual, report.limit.unit),
            "nearest": amount(report.nearest, report.limit.unit),
            "limit": amount(report.limit.value, report.limit.unit),
            "code": report.limit.code,
        }
        for item in found
        for report in item.limits
    ]
    if margins:
        say("")
        print_table(margins, ("provider", "margin", "usual", "nearest", "limit", "code"), False)
    keys = [
        {
            "provider": item.provider.name,
            "key": key.fingerprint,
            "days_old": key.days,
            "last_used": f"{key.last_used_at:%Y-%m-%d}" if key.last_used_at else "never",
        }
        for item in found
        for key in item.keys
    ]
    if keys:
        say("")
        print_table(keys, ("provider", "key", "days_old", "last_used"), False)
