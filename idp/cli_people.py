"""Define the command that shows a person's services and claims: flask --app idp people check."""

from __future__ import annotations

from typing import Any

import click
from flask.cli import AppGroup

from idp.context import context
from idp.issuer import mapped_claims
from idp.people import DirectoryUnavailable, Person
from idp.services import Service
from shared.cli_output import as_json, fail, print_json, print_table, say
from shared.keys import KeyRefused

people = AppGroup("people", help="Look at people in any directory, also in your own.")


@people.command("check")
@click.argument("email")
@as_json
def check(email: str, as_json: bool) -> None:
    """Tell which services a person may use and with which claims, and why the others are not allowed.

    The exit status is 1 if the person may use no service.

    Example: flask --app idp people check alice@example.org
    """
    try:
        person = context().people.find(email)
    except DirectoryUnavailable as error:
        fail(f"the directory of people does not answer: {error}")
    if person is None:
        fail(f"{email} cannot sign in: the directory has no such person, or the person is disabled")
    rows = [_row(person, service) for service in context().services.all()]
    if as_json:
        print_json({"email": person.email, "groups": list(person.groups), "services": rows})
    else:
        say(f"{person.email}, {person.name}; groups: {', '.join(person.groups) or 'none'}")
        print_table([_flat(row) for row in rows], ("service", "access", "claims", "not filled", "why"), False)
    if not any(row["access"] for row in rows):
        fail(f"{person.email} may use no service" if rows else "no service is registered")


def _row(person: Person, service: Service) -> dict[str, Any]:
    claims = mapped_claims(person, service)
    why = _why_not(person, service)
    return {
        "service": service.name,
        "access": not why,
        "why": why,
        "claims": claims,
        "not_filled": [claim for claim in service.claims if claim not in claims],
    }


def _why_not(person: Person, service: Service) -> str:
    """Return why *person* gets no token for *service*, or an empty text."""
    if not service.admits(person):
        return f"is in none of the groups {', '.join(service.groups)}"
    try:
        service.signing_key(context().now())
    except KeyRefused as refusal:
        return str(refusal)
    return ""


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    claims = {name: ", ".join(value) if isinstance(value, list) else value for name, value in row["claims"].items()}
    return {
        "service": row["service"],
        "access": "yes" if row["access"] else "no",
        "claims": "; ".join(f"{name}={value}" for name, value in claims.items()),
        "not filled": ", ".join(row["not_filled"]),
        "why": row["why"],
    }
