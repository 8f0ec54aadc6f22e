"""`flask --app sp what-if`: decide a provider's recorded attempts again, with other settings."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from shared.cli_output import as_json, fail, print_json, print_table, say
from shared.settings import SettingsRefused
from sp import config as settings
from sp.accounts import rows as accounts
from sp.accounts.provisioning import Profile
from sp.activity import reading
from sp.activity.reading import Wanted
from sp.activity.trace import rfc3339
from sp.current import components
from sp.diagnosis.what_if import AccountsNow, Again, LookUp, decide_again, is_decidable, is_sign_in
from sp.providers.provider import Provider
from sp.providers.settings_parser import parse_provider

LAST = 1000  # attempts
NOTE = "Traces contain no signature, so it is not checked again: an attempt with a wrong signature stays rejected."


@click.command("what-if")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--last",
    type=click.IntRange(1),
    default=LAST,
    show_default=True,
    help="How many of the latest attempts to decide, at most.",
)
@as_json
@with_appcontext
def what_if(name: str, file: Path, last: int, as_json: bool) -> None:
    """Say which recorded sign-ins of the provider NAME would have another result with the settings in FILE.

    FILE is a TOML file with [providers.NAME], as for `providers apply`. Nothing is changed. The exit status is 1 if a
    sign-in would have another result, or if FILE has errors or no [providers.NAME].

    Example: flask --app sp what-if corporate strict.toml --last 500
    """
    provider = _provider(name.lower(), file)
    traces = reading.latest(components().database, Wanted(provider=provider.name), last)
    sign_ins = [trace for trace in traces if is_sign_in(trace)]
    decided = [decide_again(trace, provider, _look_up(provider)) for trace in sign_ins if is_decidable(trace)]
    changed = [again for again in decided if again.before != again.after]
    left_out = len(sign_ins) - len(decided)
    if as_json:
        about = {"provider": provider.name, "decided": len(decided), "left_out": left_out, "note": NOTE}
        print_json({**about, "changed": [_described(again) for again in changed]})
    else:
        _print(provider, changed, len(decided), left_out)
    raise SystemExit(1 if changed else 0)


def _provider(name: str, file: Path) -> Provider:
    """Return the provider that FILE describes, or end with status 1."""
    try:
        document = settings.read_document(file, components().routes)
    except SettingsRefused as error:
        fail(*error.mistakes)
    table = document.get("providers", {}).get(name)
    if table is None:
        fail(f"{file} has no [providers.{name}]")
    return parse_provider(name, table, components().routes)


def _look_up(provider: Provider) -> LookUp:
    """Return the function that finds a profile's accounts as they are today."""

    def look_up(profile: Profile) -> AccountsNow:
        core = components()
        with core.database.reading() as connection:
            known = accounts.find_by_identity(connection, provider.name, profile)
            same_email = accounts.find_by_email(connection, profile.email, provider.name)
            return AccountsNow(known, same_email, accounts.has_free_seat(connection, core.config.seat_limit))

    return look_up


def _described(again: Again) -> dict[str, Any]:
    trace = again.trace
    return {
        "reference": trace.reference,
        "at": rfc3339(trace.at),
        "email": reading.person_of(trace),
        "before": again.before,
        "after": again.after,
    }


def _print(provider: Provider, changed: list[Again], count: int, left_out: int) -> None:
    say(f"{count} attempts of {provider.name} were decided again; {len(changed)} would have another result.")
    for (before, after), times in Counter((again.before, again.after) for again in changed).most_common():
        say(f"  {times} x {before} -> {after}")
    if changed:
        rows = [{**_described(again), "email": reading.person_of(again.trace) or "-"} for again in changed]
        print_table(rows, ("at", "reference", "email", "before", "after"), False)
    if left_out:
        say(f"{left_out} attempts were too long to keep whole, and were left out.")
    say(NOTE)
