"""Define the commands for services and their keys: flask --app idp services|keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup

from idp import config
from idp.context import context
from idp.services import Service, ServiceUnknown, warnings_about
from idp.stores.reencryption import reencrypt
from idp.stores.registry import ACCEPT_AFTER, SIGN_AFTER, RotationRefused, SqlRegistry
from shared.cli_output import as_json, fail, print_json, print_table, report, say
from shared.keys import public_pem
from shared.settings import SettingsRefused

services = AppGroup("services", help="Manage the services that people sign in to.")
BESIDE_FILE = (
    "Note: IDP_CONFIG is set. The applied services are stored in addition to those of IDP_CONFIG and remain after a "
    "restart. If IDP_CONFIG later defines a service of the same name, that definition replaces the stored one."
)
keys = AppGroup("keys", help="Manage the keys of services.")


@services.command("apply")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@as_json
def apply_services(file: Path, as_json: bool) -> None:
    """Register or update the services that FILE.toml defines. Repeating the command changes nothing.

    Example: flask --app idp services apply services.toml
    """
    registry = _registry()
    try:
        definitions = config.read_services_file(file)
    except SettingsRefused as refusal:
        fail(*str(refusal).split("\n"))
    managed = registry.managed() & set(definitions)
    if managed:
        names = ", ".join(sorted(managed))
        fail(
            f"Nothing was applied: IDP_CONFIG defines {names}. Change that file and restart, or remove them from "
            f"{file}."
        )
    made = registry.apply(definitions)
    if context().settings.services_file is not None:
        say(BESIDE_FILE, err=True)
    print_warnings(registry.all())
    done = {"registered": list(definitions), "generated": {name: shown(material) for name, material in made.items()}}
    report(done, *told_once(made), f"Registered: {', '.join(definitions) or 'none'}.", as_json=as_json)


@services.command("list")
@as_json
def list_services(as_json: bool) -> None:
    """List the registered services.

    Example: flask --app idp services list --json
    """
    print_table(
        [_row(service) for service in context().services.all()], ("name", "preset", "algorithm", "return_url"), as_json
    )


@services.command("show")
@click.argument("name")
@as_json
def show_service(name: str, as_json: bool) -> None:
    """Show a service, and its keys as fingerprints.

    Example: flask --app idp services show learn --json
    """
    try:
        row = _row(context().services.find(name))
    except ServiceUnknown:
        fail(f"the service {name} does not exist")
    if as_json:
        print_json(row)
        return
    for key, value in row.items():
        say(f"{key:24} {value if isinstance(value, str) else json.dumps(value)}")


@services.command("remove")
@click.argument("name")
@as_json
def remove_service(name: str, as_json: bool) -> None:
    """Remove a service and its keys.

    Example: flask --app idp services remove learn
    """
    registry = _registry()
    if name in registry.managed():
        fail(f"{name} is managed by IDP_CONFIG: change it there")
    try:
        registry.remove(name)
    except ServiceUnknown:
        fail(f"the stored service {name} does not exist")
    report({"removed": name}, f"{name} is removed.", as_json=as_json)


@services.command("reencrypt")
@as_json
def reencrypt_keys(as_json: bool) -> None:
    """Encrypt every stored key with the current IDP_SECRET_KEY, so that you can discard the previous one.

    Example: flask --app idp services reencrypt
    """
    outcome = reencrypt(context().vault)
    text = f"{outcome.reencrypted} stored keys were re-encrypted, {outcome.before} were up to date."
    report(vars(outcome), text, as_json=as_json)
    if outcome.locked:
        fail(f"{outcome.locked} keys were encrypted with an unknown key: add it to IDP_SECRET_KEY_FALLBACKS")
    if not as_json:
        say("Stored keys no longer need IDP_SECRET_KEY_FALLBACKS. If you remove it, cookies signed with it expire.")


@keys.command("rotate")
@click.argument("service")
@click.option("--sign-after", default=SIGN_AFTER, show_default=True, help="Seconds until the new key signs.")
@click.option(
    "--accept-after", default=ACCEPT_AFTER, show_default=True, help="Seconds after that until the old key expires."
)
@as_json
def rotate_keys(service: str, sign_after: int, accept_after: int, as_json: bool) -> None:
    """Give a service a new key. Enter the key at the service, or let the service fetch it, before the key signs.

    Example: flask --app idp keys rotate learn
    """
    try:
        material = _registry().rotate(service, sign_after=max(0, sign_after), accept_after=max(0, accept_after))
    except ServiceUnknown:
        fail(f"the stored service {service} does not exist")
    except RotationRefused as refusal:
        fail(refusal)
    done = {
        "service": service,
        "generated": shown(material),
        "signs_after": max(0, sign_after),
        "old_key_accepted_after_that": max(0, accept_after),
    }
    text = f"The new key of {service} signs in {sign_after} seconds. The old key expires {accept_after} seconds later."
    report(done, *told_once({service: material}), text, as_json=as_json)


def told_once(made: Mapping[str, str]) -> list[str]:
    """Return the lines that show generated keys once: the secret, or the public half of a private key."""
    lines = []
    for name, material in made.items():
        lines.append(f"A key was generated for {name}. Enter it at the service. It is not shown again:")
        lines += shown(material).splitlines()
    return lines


def shown(material: str) -> str:
    """Return the part of a key to enter at the service."""
    return public_pem(material) if material.startswith("-----BEGIN") else material


def print_warnings(registered: Sequence[Service]) -> None:
    """Print warnings about settings that are allowed but risky."""
    for line in warnings_about(registered):
        say(f"Warning: {line}", err=True)


def _registry() -> SqlRegistry:
    registry = context().services
    if not isinstance(registry, SqlRegistry):
        fail("services are in another registry: manage them there")
    return registry


def _row(service: Service) -> dict[str, Any]:
    """Return a service's fields for display, with fingerprints in place of keys."""
    row = {f.name: getattr(service, f.name) for f in fields(service) if f.name not in ("keys", "logout_keys")}
    row["keys"] = [
        {
            "fingerprint": entry.key.fingerprint,
            "signs_from": entry.signs_from.isoformat(timespec="seconds"),
            "accepted_until": entry.accepted_until and entry.accepted_until.isoformat(timespec="seconds"),
        }
        for entry in service.keys
    ]
    return row
