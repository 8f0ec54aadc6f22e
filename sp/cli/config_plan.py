"""Print what `config plan` finds: for people, grouped by place; for programs, every person at every place."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from shared.cli_output import say
from shared.printable import printable_json
from sp.policy.plan import AccessPlan, Affected, Place, RuleChange, RuleChanges, numbers_in

NAMED = 20  # people at a place in the text; JSON has all
UNNAMED = "not signed in"


class ProgressLine:
    """Shows on a terminal's standard error what is under way."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty()

    def __call__(self, what: str, number: int) -> None:
        if self._shows:
            click.echo(f"\r{what}: {number:,}   ", nl=False, err=True)

    def end(self) -> None:
        """Clear the line."""
        if self._shows:
            click.echo("\r" + " " * 40 + "\r", nl=False, err=True)


def print_json_plan(found: AccessPlan) -> None:
    """Print the plan for programs, an entry to a line, since there may be very many. Visitors are on standard error."""
    rules = {name: [_described(each) for each in changes] for name, changes in vars(found.rules).items()}
    click.echo(f'{{"rules": {printable_json(rules)},')
    for name, affected, end in (("gains", found.gains, "],"), ("loses", found.loses, "]}")):
        click.echo(f'"{name}": [')
        _print_entries(found, affected)
        click.echo(end)
    for line in _visitors(found):
        say(f"note: {line}", err=True)


def _print_entries(found: AccessPlan, affected: Iterable[Affected]) -> None:
    names = [printable_json(email) for email in found.everybody] if affected else []
    joint = ""
    for each in affected:
        at = printable_json(each.place._asdict())[1:]
        lines = (f'{{"user": {names[number]}, {at}' for number in numbers_in(each.accounts))
        sys.stdout.write(joint + ",\n".join(lines))
        joint = ",\n"
    sys.stdout.write("\n" if joint else "")
    sys.stdout.flush()


def _described(change: RuleChange) -> dict[str, Any]:
    return {name: value for name, value in vars(change).items() if value != "" or name not in ("before", "after")}


def print_plan(found: AccessPlan) -> None:
    """Print the plan for people."""
    for line in _rule_lines(found.rules):
        say(line)
    gaining, losing = (_people_in(affected) for affected in (found.gains, found.loses))
    say(f"Accounts that gain access somewhere: {gaining:,}. Accounts that lose access somewhere: {losing:,}.")
    for line in _visitors(found):
        say(line)
    for title, affected in (("gain", found.gains), ("lose", found.loses)):
        for each in affected:
            emails = [email for email, _ in zip(found.emails(each), range(NAMED), strict=False)]
            more = f" and {each.count - len(emails):,} more; --json names all" if each.count > len(emails) else ""
            say(f"{title:4}  {_named(each.place)}  {each.count:,}: {', '.join(emails)}{more}")


def _rule_lines(rules: RuleChanges) -> Iterator[str]:
    yield f"Rules: added {len(rules.added)}, removed {len(rules.removed)}, changed {len(rules.changed)}."
    for change in rules.added:
        yield f"  added    {change.site} rule {change.number}: {change.after}"
    for change in rules.removed:
        yield f"  removed  {change.site} rule {change.number}: {change.before}"
    for change in rules.changed:
        methods = ", ".join(change.methods) or "every method"
        where = f"{change.site} rule {change.number}, {change.path}, {methods}"
        yield f"  changed  {where}: {change.before} -> {change.after}"


def _people_in(affected: Iterable[Affected]) -> int:
    everyone = 0
    for each in affected:
        everyone |= each.accounts
    return everyone.bit_count()


def _visitors(found: AccessPlan) -> Iterator[str]:
    for word, places in (("gain", found.opened), ("lose", found.closed)):
        if places:
            named = "; ".join(_named(place) for place in places[:NAMED])
            more = f"; and {len(places) - NAMED:,} more" if len(places) > NAMED else ""
            yield f"Visitors who are {UNNAMED} {word} access: {named}{more}"


def _named(place: Place) -> str:
    return f"{place.site} {place.method} {place.path}"
