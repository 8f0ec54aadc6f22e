"""`flask --app sp providers`: manage the identity providers. Keys are shown by fingerprint, a generated one in full."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup

from shared.cli_output import as_json, fail, print_json, print_table, report, say
from shared.settings import SettingsRefused
from sp import config as settings
from sp.cli.health import health
from sp.current import components
from sp.database.reencryption import reencrypt
from sp.providers.apply import ProvidersRefused, StoredProvider
from sp.providers.icon_images import in_words
from sp.providers.risks import risks_of

providers = AppGroup("providers", help="Identity providers that the gateway trusts.")
providers.add_command(health)

BESIDE_FILE = (
    "note: SP_CONFIG is set. The providers applied now are stored in addition to those in that file, and stay after a "
    "restart. A provider of the same name in SP_CONFIG replaces them at the next start."
)


@providers.command("apply")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@as_json
def apply(file: Path, as_json: bool) -> None:
    """Create or change the providers in a TOML file. Applying it again changes nothing.

    Example: flask --app sp providers apply corporate.toml
    """
    try:
        document = settings.read_document(file, components().routes)
        applied = components().provider_store.apply(document.get("providers", {}), actor="command line")
    except (ProvidersRefused, SettingsRefused) as error:
        fail(*error.mistakes)
    if components().config.has_file:
        say(BESIDE_FILE, err=True)
    if "rules" in document:
        say(f"note: the [[rules]] in {file} are ignored: rules are read from SP_CONFIG only", err=True)
    for item in components().provider_store.load():
        if item.provider.name in (*applied.created, *applied.changed, *applied.unchanged):
            _warn(item)
    if as_json:
        print_json(vars(applied))
        return
    for word in ("created", "changed", "unchanged"):
        for name in getattr(applied, word):
            say(f"{name}: {word}")
    for name, secret in applied.generated.items():
        say(f"{name}: a key was generated. It is shown only once:", secret)


@providers.command("list")
@as_json
def list_providers(as_json: bool) -> None:
    """List the providers.

    Example: flask --app sp providers list --json
    """
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
        for item in components().provider_store.load()
    ]
    print_table(rows, ("name", "display_name", "enabled", "default", "algorithm", "keys"), as_json)


@providers.command("show")
@click.argument("name")
@as_json
def show(name: str, as_json: bool) -> None:
    """Show every setting of a provider, and the fingerprints of its keys.

    Example: flask --app sp providers show corporate --json
    """
    stored = next((item for item in components().provider_store.load() if item.provider.name == name.lower()), None)
    if stored is None:
        fail(f"the provider {name} does not exist")
    stored = components().provider_registry.in_force(stored)
    described = _describe(stored)
    if as_json:
        print_json(described)
    else:
        for setting, value in described.items():
            say(f"{setting} = {json.dumps(value, ensure_ascii=False)}")
    _warn(stored)


@providers.command("reencrypt")
@as_json
def reencrypt_all(as_json: bool) -> None:
    """Re-encrypt every stored key with SP_SECRET_KEY, so that older secret keys are not needed any more.

    Example: flask --app sp providers reencrypt
    """
    outcome = reencrypt(components().database, components().vault)
    text = f"{outcome.reencrypted} stored keys were re-encrypted, {outcome.before} were up to date."
    report(vars(outcome), text, as_json=as_json)
    if outcome.locked:
        fail(f"{outcome.locked} stored keys could not be decrypted: add their secret key to SP_SECRET_KEY_FALLBACKS")


@providers.command("remove")
@click.argument("name")
@as_json
def remove(name: str, as_json: bool) -> None:
    """Remove a provider with its keys. Accounts stay.

    Example: flask --app sp providers remove corporate
    """
    try:
        removed = components().provider_store.remove(name.lower(), actor="command line")
    except ProvidersRefused as error:
        fail(*error.mistakes)
    if not removed:
        fail(f"the provider {name} does not exist")
    report({"removed": name.lower()}, f"{name}: removed", as_json=as_json)


def _warn(stored: StoredProvider) -> None:
    for warning in risks_of(stored.provider):
        say(f"warning: {stored.provider.name}: {warning}", err=True)


def _describe(stored: StoredProvider) -> dict[str, Any]:
    return {
        "name": stored.provider.name,
        **stored.provider.as_settings(),
        "icon": in_words(stored.provider.icon),
        "keys": [key.fingerprint for key in stored.keys],
        "managed_by_file": stored.managed_by_file,
    }
