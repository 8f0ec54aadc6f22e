"""`flask --app sp activity`: find, show, compare and export the records of attempts to sign in or out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from flask.cli import AppGroup

from shared.cli_output import as_json, fail, print_json, print_json_line, print_table, say
from shared.clock import time_now
from sp.activity import reading
from sp.activity.reading import Wanted
from sp.activity.trace import OUTCOMES, Trace, rfc3339
from sp.current import components
from sp.diagnosis.trace_diff import differences

activity = AppGroup("activity", help="Every attempt to sign in or out, with its cause.")

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}  # seconds
LATEST = 100  # traces that a list shows
COLUMNS = ("at", "event", "code", "provider", "email", "reference", "cause")
Command = TypeVar("Command", bound=Callable[..., Any])


class SinceType(click.ParamType[int]):
    """A time: an age such as 30m, 24h or 7d, or a date in ISO 8601 (UTC unless it says otherwise)."""

    name = "AGE|DATE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if age := re.fullmatch(r"(\d{1,9})([smhdw])", value):
            return int(time_now()) - int(age[1]) * UNITS[age[2]]
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail("use an age such as 30m, 24h or 7d, or a date such as 2026-11-26 or 2026-11-26T20:15", param, ctx)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def which(command: Command) -> Command:
    """Add the options that select traces."""
    for option in (
        click.option("--code", default="", metavar="CODE", help="Only attempts with this code, such as token_expired."),
        click.option("--email", default="", metavar="EMAIL", help="Only attempts with this e-mail address."),
        click.option("--provider", default="", metavar="NAME", help="Only attempts at this provider."),
        click.option("--since", type=SinceType(), help="Only attempts after this time: 30m, 24h, 7d, or a date."),
    ):
        command = option(command)
    return command


@activity.command("list")
@which
@click.option(
    "--limit", type=click.IntRange(1), default=LATEST, show_default=True, help="How many attempts to list, at most."
)
@as_json
def list_activity(code: str, email: str, provider: str, since: int | None, limit: int, as_json: bool) -> None:
    """List attempts, the newest first, each with its cause.

    Example: flask --app sp activity list --code signature_invalid --since 24h
    """
    wanted = Wanted(code, email.strip(), provider.lower(), since=since)
    found = reading.latest(components().database, wanted, limit)
    if as_json:
        print_json([trace.as_json() for trace in found])
        return
    print_table([_row(trace) for trace in found], COLUMNS, False)


@activity.command("show")
@click.argument("reference")
@as_json
def show(reference: str, as_json: bool) -> None:
    """Show one attempt by the reference that the person saw. The first line is the cause.

    The exit status is 1 if the reference does not exist.

    Example: flask --app sp activity show RKQ7M2PD
    """
    trace = find(reference)
    if as_json:
        print_json(trace.as_json())
    else:
        say(*_lines(trace))


@activity.command("diff")
@click.argument("reference")
@click.argument("other", required=False)
@as_json
def diff(reference: str, other: str | None, as_json: bool) -> None:
    """Compare the attempt REFERENCE with OTHER, and list the differences, the most significant first.

    Without OTHER, the attempt is compared with the last good sign-in at the same provider before it: with one of the
    same person if there is one, otherwise with one of any person. The exit status is 1 if a reference does not exist,
    or if there is nothing to compare with.

    Example: flask --app sp activity diff RKQ7M2PD
    """
    trace = find(reference)
    good = find(other) if other else reading.last_good_before(components().database, trace)
    if good is None:
        fail(f"there is no good sign-in of {trace.provider or 'any provider'} before {trace.reference} to compare with")
    found = differences(good, trace)
    if as_json:
        told = {"reference": trace.reference, "other": good.reference, "cause": trace.cause}
        print_json({**told, "differences": [vars(difference) for difference in found]})
        return
    say(f"{trace.reference} ({rfc3339(trace.at)}), compared with {good.reference} ({rfc3339(good.at)}):")
    for one in found:
        say(f"  {one.what}: {one.before} -> {one.after}{'  (' + one.explanation + ')' if one.explanation else ''}")
    if not found:
        say("  no difference in what was recorded")


@activity.command("export")
@which
def export(code: str, email: str, provider: str, since: int | None) -> None:
    """Print attempts as JSON, one to a line, the oldest first.

    Example: flask --app sp activity export --since 7d > activity.jsonl
    """
    for trace in reading.every(components().database, Wanted(code, email.strip(), provider.lower(), since=since)):
        print_json_line(trace.as_json())


def find(reference: str) -> Trace:
    """Return the trace with this reference, or exit with status 1."""
    trace = reading.by_reference(components().database, reference.strip().upper())
    if trace is None:
        fail(f"there is no log entry with the reference {reference[:40]}")
    return trace


def _row(trace: Trace) -> dict[str, Any]:
    found = {name: getattr(trace, name) for name in ("event", "code", "provider", "email", "reference", "cause")}
    return {"at": rfc3339(trace.at), **{name: "-" if value is None else value for name, value in found.items()}}


def _lines(trace: Trace) -> Iterator[str]:
    """Yield the lines of the text form: the cause, the facts, the checks, the token's content."""
    facts = trace.facts
    yield trace.cause
    yield ""
    about = {
        "reference": trace.reference,
        "at": rfc3339(trace.at),
        "event": trace.event,
        "code": trace.code,
        "provider": trace.provider,
        "email": trace.email,
        "delivery": facts.delivery,
        "key": facts.key,
        "cookies": ", ".join(facts.cookies),
        "account": f"{facts.account.decision}: {facts.account.why}" if facts.account else None,
        "changed": ", ".join(facts.account.changed) if facts.account else None,
        "sent to": facts.sent_to,
        "request ID": facts.request_id,
    }
    yield from (f"{name:10} {value}" for name, value in about.items() if value)
    width = max(map(len, OUTCOMES))
    for check in facts.checks:
        outcome = check.outcome.upper() if check.outcome == "failed" else check.outcome
        yield f"{outcome:{width}}  {check.name}{': ' + check.detail if check.detail else ''}"
    for name, value in (("header", facts.header), ("claims", facts.claims)):
        if value is not None:
            doubt = "" if facts.key else " (unverified)"
            yield f"{name}{doubt}: {json.dumps(value, ensure_ascii=False)}"
    if facts.clipped:
        yield "Parts were too long to keep; they end with …"
