"""Read filtered pages of the activity log, newest first, and fast even if the log has a million rows.

A page begins after the last row of the previous page (keyset pagination). Codes and whole e-mail addresses have an
index whose last column is the row's number, so the database reads only one page of rows, anywhere in the log.
Rejections and times are found by an index too. For a provider, an event or a part of an e-mail address, it reads a
limited number of rows, and the page shows how far back it searched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from sp.activity.folds import WINDOW
from sp.activity.record import searched_as
from sp.activity.search import COLUMNS, Line
from sp.database.access import Database
from sp.database.models import Activity

PAGE_ROWS = 50
SCAN_ROWS = 25_000  # read for one page; this takes 30 to 55 ms (a million lines with traces, SQLite, two busy cores)
DISORDER = 1000  # lines: how far the order by number may differ from the order by time

_table: Any = Activity.__table__


@dataclass(frozen=True)
class LogPage:
    """One page. `next` is the row after which the next page begins, or None if no page follows.

    If the search stopped at its limit of lines, `searched_to` is the time of the line at which it stopped.
    """

    lines: tuple[Line, ...]
    next: int | None
    searched_to: int | None = None


@dataclass(frozen=True)
class Filter:
    """Which lines to show. An empty field matches every line.

    `since` and `until` are in seconds since 1970, `until` is excluded.

    `email` is a whole e-mail address or a part of it. The case of A-Z is ignored. If a line has exactly this e-mail
    address, longer e-mail addresses that contain it do not match. `refused` selects the lines that have any code.
    """

    email: str = ""
    code: str = ""
    refused: bool = False
    provider: str = ""
    event: str = ""
    since: int | None = None
    until: int | None = None


ALL = Filter()


def page(database: Database, wanted: Filter = ALL, before: int | None = None, rows: int = PAGE_ROWS) -> LogPage:
    """Return a page of the lines that *wanted* describes, before the line *before*.

    An index finds a whole e-mail address, a code, all rejections or a time, even in old lines. Provider, event and a
    part of an e-mail address are compared line by line, with at most SCAN_ROWS lines for one page, so the time does not
    depend on the size of the log.
    """
    with database.reading() as connection:
        return _page(connection, wanted, before, rows)


def newest(database: Database) -> int:
    """Return the number of the newest line, or 0 if there is none."""
    with database.reading() as connection:
        return _end(connection, _table.c.id.desc())


def newer(database: Database, wanted: Filter, after: int) -> tuple[list[Line], int]:
    """Return the oldest lines that match *wanted* after the line *after*, and the last line that was read."""
    query = select(*COLUMNS).where(
        _table.c.id > after, *_conditions(wanted, _part(wanted.email) if wanted.email else None)
    )
    with database.reading() as connection:
        until = min(_end(connection, _table.c.id.desc()), after + SCAN_ROWS)
        within = query.where(_table.c.id <= until).order_by(_table.c.id).limit(PAGE_ROWS)
        lines = [Line(*row) for row in connection.execute(within)]
    return lines, lines[-1].id if len(lines) == PAGE_ROWS else max(after, until)


def all_pages(database: Database, wanted: Filter, rows: int) -> Iterator[tuple[Line, ...]]:
    """Yield every line that matches *wanted*, newest first, in pages of at most *rows*. Each page is one short read."""
    before: int | None = None
    while True:
        found = page(database, wanted, before, rows)
        yield found.lines
        before = found.next
        if before is None:
            return


def _page(connection: Connection, wanted: Filter, before: int | None, rows: int) -> LogPage:
    address = _address(connection, wanted.email)
    query = select(*COLUMNS).where(*_conditions(wanted, address)).order_by(_table.c.id.desc()).limit(rows + 1)
    lowest, before = _bounds(connection, wanted, before)
    query = query.where(_table.c.id < before) if before is not None else query
    scans = bool(wanted.provider or wanted.event or (address is not None and not address.is_exact))
    floor = lowest
    if scans:
        top = before if before is not None else _end(connection, _table.c.id.desc()) + 1
        floor = max(lowest, top - SCAN_ROWS)
    query = query.where(_table.c.id >= floor) if floor else query
    lines = [Line(*row) for row in connection.execute(query)]
    if len(lines) > rows:
        return LogPage(tuple(lines[:rows]), lines[rows - 1].id)
    oldest = max(lowest, _end(connection, _table.c.id)) if scans else floor
    if floor <= oldest:
        return LogPage(tuple(lines), None)
    return LogPage(tuple(lines), floor, _time_at(connection, floor))


@dataclass(frozen=True)
class _Address:
    condition: ColumnElement[bool]
    is_exact: bool


def _address(connection: Connection, email: str) -> _Address | None:
    """Return the condition on the e-mail, or None if every e-mail is wanted.

    If a line has exactly this e-mail, only such lines match. Otherwise every line matches whose e-mail contains the
    text.
    """
    if not email:
        return None
    whole = _table.c.email == searched_as(email)
    if connection.execute(select(_table.c.id).where(whole).limit(1)).first() is not None:
        return _Address(whole, True)
    return _part(email)


def _part(email: str) -> _Address:
    return _Address(_table.c.email.contains(searched_as(email), autoescape=True), False)


def _conditions(wanted: Filter, address: _Address | None) -> list[ColumnElement[bool]]:
    """Return the conditions.

    Only code and e-mail may use an index: with other indexes, the database would have to sort.
    """
    found: list[ColumnElement[bool]] = []
    if address is not None:
        found.append(address.condition)
    if wanted.code:
        found.append(_table.c.code == wanted.code)
    elif wanted.refused:
        found.append(_table.c.code.is_not(None))
    if wanted.provider:
        found.append(func.coalesce(_table.c.provider, "") == wanted.provider)
    if wanted.event:
        found.append(_table.c.event == wanted.event)
    if wanted.since is not None:
        found.append(func.coalesce(_table.c.last_at, _table.c.at) >= wanted.since)
    if wanted.until is not None:
        found.append(_table.c.at + 0 < wanted.until)
    return found


def _bounds(connection: Connection, wanted: Filter, before: int | None) -> tuple[int, int | None]:
    """Return the range of numbers that lines of the wanted time can have: the lowest, and the end (excluded).

    Lines are numbered in the order of their time. Exceptions are lines of the same second, and lines that count events
    for up to an hour.
    """
    lowest = 0
    if wanted.since is not None:
        first = select(_table.c.id).where(_table.c.at >= wanted.since - WINDOW).order_by(_table.c.at).limit(1)
        number = connection.execute(first).scalar()
        lowest = max(0, (number if number is not None else _end(connection, _table.c.id.desc())) - DISORDER)
    if wanted.until is not None:
        last = select(_table.c.id).where(_table.c.at < wanted.until).order_by(_table.c.at.desc()).limit(1)
        end = (connection.execute(last).scalar() or 0) + DISORDER
        before = end if before is None else min(before, end)
    return lowest, before


def _end(connection: Connection, order: Any) -> int:
    """Return the number of the first line in *order*; 0 if there is none."""
    found: int | None = connection.execute(select(_table.c.id).order_by(order).limit(1)).scalar()
    return found or 0


def _time_at(connection: Connection, number: int) -> int | None:
    """Return the time of the first line whose number is at least *number*."""
    query = select(_table.c.at).where(_table.c.id >= number).order_by(_table.c.id).limit(1)
    found: int | None = connection.execute(query).scalar()
    return found
