"""`flask --app sp config`: check a file of SP_CONFIG, and see whom it would affect, before it is in force.

These commands also work with a faulty file, and they put nothing in force.
"""

from __future__ import annotations

from pathlib import Path

import click
from flask.cli import AppGroup

from shared.cli_output import fail, say
from shared.settings import SettingsRefused
from sp import config as settings
from sp.components import Components
from sp.config import ReadFile
from sp.current import components
from sp.policy.rules import warnings
from sp.reloading import restart_notes
from sp.routes import Routes
from sp.sites.access_file import run_tests
from sp.sites.stored import stored_sites

config = AppGroup("config", help="The file of SP_CONFIG: rules, sites, tests and providers.")

A_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@config.command("check")
@click.argument("file", required=False, type=A_FILE)
def check(file: Path | None) -> None:
    """Say everything that is wrong with FILE, its tests included. Without FILE: with the file of SP_CONFIG.

    Nothing is put in force. Exit status 1: there is something.

    Example: flask --app sp config check new.toml
    """
    core = components()
    path = _path(core, file)
    found, mistakes = _read(core, path)
    if found is not None and not found.in_access:
        tests = run_tests(found.access, Routes(core.config.prefix), core.people.find)
        mistakes += [f"{path}: {line}" for line in (*tests.failed, *tests.undecided)]
    if found is not None and not found.in_providers:
        tables = found.document.get("providers", {})
        mistakes += [f"{path}: providers.{line}" for line in core.provider_store.mistakes_in(tables)]
    if mistakes or found is None:
        fail(*mistakes)
    for note in _notes(core, found):
        say(f"note: {note}", err=True)
    rules = sum(len(site.rules) for site in found.access.sites) + len(found.access.rules)
    say(f"{path} is good: rules: {rules}, further sites: {len(found.access.sites)}, tests: {len(found.access.tests)}")


def _path(core: Components, file: Path | None) -> Path:
    path = str(file or core.config.environ().get("SP_CONFIG", "")).strip()
    if not path:
        raise click.UsageError("SP_CONFIG is not set: name a FILE")
    return Path(path)


def _read(core: Components, path: Path) -> tuple[ReadFile | None, list[str]]:
    """Return the file as far as it can be read, and why the gateway would not start with it."""
    mistakes: list[str] = []
    try:
        settings.load({**core.config.environ(), "SP_CONFIG": str(path)})
    except SettingsRefused as refusal:
        mistakes = list(refusal.mistakes)
    try:
        return settings.read_file(core.config, path), mistakes
    except SettingsRefused:
        return None, mistakes


def _notes(core: Components, found: ReadFile) -> list[str]:
    """Return what an operator may not have meant, and what only a restart can change."""
    notes = [
        warning if name is None else f"sites.{name}: {warning}"
        for name, rules in ((None, found.access.rules), *((site.name, site.rules) for site in found.access.sites))
        for warning in warnings(rules)
    ]
    running = stored_sites(core.database)
    if running is not None:
        notes += restart_notes(found.access, {site.name: site.app for site in running if site.app})
    return notes
