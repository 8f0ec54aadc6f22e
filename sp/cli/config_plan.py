"""Print the result of `config plan`: as text, grouped by place, or as JSON, with every person at every place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from shared.cli_output import say, write_json
from shared.printable import printable_json
from sp.policy.plan import AccessPlan, Affected, Place, RuleChange, RuleChanges, numbers_in

NAMED = 20  # people named for a place in the text; JSON names all
UNNAMED = "not signed in"


def print_json_plan(found: AccessPlan) -> None:
    """Print the plan as JSON, one entry per line, because there may be many. Print visitors to standard error."""
    rules = {name: [_described(each) for each in changes] for name, changes in vars(found.rules).items()}
    write_json(f'{{"rules": {printable_json(rules)},\n')
    for name, affected, end in (("gains", found.gains, "],"), ("loses", found.loses, "]}")):
        write_json(f'"{name}": [\n')
        _print_entries(found, affected)
        write_json(f"{end}\n")
    for line in _visitors(found):
        say(f"note: {line}", err=True)


def _print_entries(found: AccessPlan, affected: Iterable[Affected]) -> None:
    names = [printable_json(email) for email in found.everybody] if affected else []
    joint = ""
    for each in affected:
        at = printable_json(each.place._asdict())[1:]
        lines = (f'{{"user": {names[number]}, {at}' for number in numbers_in(each.accounts))
        write_json(joint + ",\n".join(lines))
        joint = ",\n"
    write_json("\n" if joint else "")


def _described(change: RuleChange) -> dict[str, Any]:
    return {name: value for name, value in vars(change).items() if value != "" or name not in ("before", "after")}


def print_plan(found: AccessPlan) -> None:
    """Print the plan as text."""
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
