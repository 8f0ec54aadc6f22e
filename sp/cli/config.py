"""`flask --app sp config`: check a file of SP_CONFIG before it is in force, and show whom it would affect.

These commands also work with an invalid file. They put nothing in force.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import click
from flask.cli import AppGroup

from shared.cli_output import ProgressLine, as_json, fail, print_json, report, say
from shared.settings import SettingsRefused
from sp import config as settings
from sp.cli.config_plan import print_json_plan, print_plan
from sp.components import Components
from sp.config import ReadFile
from sp.current import components
from sp.policy.decision import Rule
from sp.policy.plan import plan as plan_of
from sp.policy.rules import warnings
from sp.reloading import restart_notes
from sp.routes import HOME, Routes
from sp.sites.access_file import run_tests
from sp.sites.site import Site
from sp.sites.stored import stored_sites

config = AppGroup("config", help="The file of SP_CONFIG: rules, sites, tests and providers.")

A_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@config.command("check")
@click.argument("file", required=False, type=A_FILE)
@as_json
def check(file: Path | None, as_json: bool) -> None:
    """List every error in FILE, and every test in FILE that fails.

    Without FILE, the file of SP_CONFIG is checked. Nothing is put in force. The tests run only if the rules, sites and
    tests have no errors. The exit status is 1 if there are errors, or tests that fail or cannot be decided.

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
        if as_json:
            print_json({"file": str(path), "mistakes": mistakes})
            sys.exit(1)
        fail(*mistakes)
    notes = list(_notes(core, found))
    for note in notes:
        say(f"note: {note}", err=True)
    counted = {
        "rules": sum(len(site.rules) for site in found.access.sites) + len(found.access.rules),
        "sites": len(found.access.sites),
        "tests": len(found.access.tests),
    }
    text = f"{path} is good: rules: {counted['rules']}, further sites: {counted['sites']}, tests: {counted['tests']}"
    report({"file": str(path), "mistakes": [], "notes": notes, **counted}, text, as_json=as_json)


@config.command("plan")
@click.argument("file", required=False, type=A_FILE)
@as_json
def plan(file: Path | None, as_json: bool) -> None:
    """Say which rules change, and who gains or loses access, if FILE replaces the rules that are in force.

    Without FILE, the present file of SP_CONFIG is compared. The command decides about each active account at each path
    that a rule names. If a rule names a prefix, it decides at the path of the prefix and at a page below it. If a rule
    names no methods, it decides with every method that a rule of the site names, and with one method that represents
    all others: GET, or the next method that no rule names.

    Nothing is put in force. The exit status is 1 if a person or a visitor loses access, or if the file has errors.

    Example: flask --app sp config plan new.toml --json
    """
    core = components()
    path = _path(core, file)
    read, mistakes = _read(core, path)
    if mistakes or read is None:
        fail(*mistakes)
    before = stored_sites(core.database)
    if before is None:
        say("note: no gateway has put rules in force yet, so FILE is compared with no rules", err=True)
    after = core.config.with_access(read.access).all_sites
    progress = ProgressLine()
    people = core.account_search.all_active()
    found = plan_of(_rules_of(before or (Site(HOME, core.config.external_url),)), _rules_of(after), people, progress)
    progress.end()
    if as_json:
        print_json_plan(found)
    else:
        print_plan(found)
    sys.exit(1 if found.loses or found.closed else 0)


def _rules_of(sites: Iterable[Site]) -> dict[str, tuple[Rule, ...]]:
    return {site.name: site.rules for site in sites}


def _path(core: Components, file: Path | None) -> Path:
    path = str(file or core.config.environ().get("SP_CONFIG", "")).strip()
    if not path:
        raise click.UsageError("SP_CONFIG is not set: name a FILE")
    return Path(path)


def _read(core: Components, path: Path) -> tuple[ReadFile | None, list[str]]:
    """Return the readable parts of the file, and the errors because of which the gateway would not start."""
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
    """Return notes on settings that the operator may not have intended, and on changes that need a restart."""
    notes = [
        warning if name is None else f"sites.{name}: {warning}"
        for name, rules in ((None, found.access.rules), *((site.name, site.rules) for site in found.access.sites))
        for warning in warnings(rules)
    ]
    running = stored_sites(core.database)
    if running is not None:
        notes += restart_notes(found.access, {site.name: site.app for site in running if site.app})
    return notes
