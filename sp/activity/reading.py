"""Read traces: one by its reference, the latest that match, or all since a time.

Pages of the log read rows without traces (`sp.activity.search`); this module reads each row with its trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select

from sp.activity.packing import unpack
from sp.activity.record import searched_as
from sp.activity.trace import Facts, Trace
from sp.database.access import Database
from sp.database.models import Activity
from sp.events import SIGN_IN, WORDS

AT_ONCE = 500  # rows of an export that are read together

_table: Any = Activity.__table__
_COLUMNS: tuple[Any, ...] = (
    _table.c.id,
    _table.c.reference,
    _table.c.at,
    _table.c.event,
    _table.c.code,
    _table.c.detail,
    _table.c.provider,
    _table.c.email,
    _table.c.trace,
    _table.c.times,
    _table.c.last_at,
)


@dataclass(frozen=True)
class Wanted:
    """Which traces to read. `since` is in seconds since 1970. A field that is None or empty is ignored."""

    code: str = ""
    email: str = ""
    provider: str = ""
    event: str = ""
    since: int | None = None


def by_reference(database: Database, reference: str) -> Trace | None:
    """Return the trace with this reference, or None. Its facts are empty if the line has none that can be read."""
    with database.reading() as connection:
        row = connection.execute(select(*_COLUMNS).where(_table.c.reference == reference)).first()
    return _trace(row) if row else None


def latest(database: Database, wanted: Wanted, limit: int) -> list[Trace]:
    """Return up to *limit* traces, the newest first."""
    with database.reading() as connection:
        query = _matching(wanted).order_by(_table.c.id.desc()).limit(limit)
        return [_trace(row) for row in connection.execute(query)]


def every(database: Database, wanted: Wanted) -> Iterator[Trace]:
    """Yield every trace, the oldest first. Read AT_ONCE rows at a time, so that no transaction is open for long."""
    after = 0
    while True:
        with database.reading() as connection:
            query = _matching(wanted).where(_table.c.id > after).order_by(_table.c.id).limit(AT_ONCE)
            rows = connection.execute(query).all()
        yield from map(_trace, rows)
        if len(rows) < AT_ONCE:
            return
        after = rows[-1].id


def last_good_before(database: Database, trace: Trace) -> Trace | None:
    """Return the last good sign-in of the same provider before *trace*, of the same person if there is one."""
    if trace.provider is None:
        return None
    with database.reading() as connection:
        own = select(_table.c.id).where(_table.c.reference == trace.reference).scalar_subquery()
        query = (
            select(*_COLUMNS)
            .where(_table.c.provider == trace.provider, _table.c.event == SIGN_IN, _table.c.id < own)
            .where(_table.c.trace.is_not(None))
            .order_by(_table.c.id.desc())
            .limit(1)
        )
        person = person_of(trace)
        row = connection.execute(query.where(_table.c.email == searched_as(person))).first() if person else None
        row = row or connection.execute(query).first()
    return _trace(row) if row else None


def person_of(trace: Trace) -> str | None:
    """Return the e-mail address of the attempt. It is unverified if the token was rejected."""
    claimed = (trace.facts.claims or {}).get("email")
    return trace.email or (claimed if isinstance(claimed, str) and "@" in claimed else None)


def _matching(wanted: Wanted) -> Select[Any]:
    query = select(*_COLUMNS)
    if wanted.code:
        query = query.where(_table.c.code == wanted.code)
    if wanted.email:
        query = query.where(_table.c.email == searched_as(wanted.email))
    if wanted.provider:
        query = query.where(_table.c.provider == wanted.provider)
    if wanted.event:
        query = query.where(_table.c.event == wanted.event)
    if wanted.since is not None:
        query = query.where(_table.c.at >= wanted.since)
    return query


def _trace(row: Any) -> Trace:
    facts = unpack(row.trace)
    cause = _cause(row, facts)
    return Trace(row.reference, row.at, row.event, row.code, cause, row.provider, row.email, facts)


def _cause(row: Any, facts: Facts) -> str:
    """Return the first line: the stored cause of a rejection, or the event of any other attempt."""
    if row.last_at is not None:
        return f"{row.times} rejections {row.detail}"
    if row.code:
        return str(row.detail or row.code)
    if row.event == SIGN_IN and row.provider and facts.account is not None:
        done = {"created": "account created", "linked": "account linked", "found": "account found"}
        return f"Signed in: {done.get(facts.account.decision, facts.account.decision)}: {facts.account.why}."
    what = WORDS.get(row.event, row.event)
    return f"{what[:1].upper()}{what[1:]}{': ' + row.detail if row.detail else ''}."
