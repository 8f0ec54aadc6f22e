"""Count accepted tokens and rejections by hour, fast with any number of sign-ins.

Accepted tokens come from the measured hours (`sp.activity.margin_rows`), one row for each hour. Rejections are counted
line by line. A stranger can cause many rejections, so only the newest MOST_REJECTIONS lines are counted. The counts are
complete from `counted_from` on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from sp.activity.browsing import DISORDER
from sp.activity.margins import HOUR, SIZE
from sp.database.access import Database
from sp.database.models import Activity, Margin

MOST_REJECTIONS = 3_000  # lines; to count them takes 30 to 60 ms (a million lines with traces, SQLite, two busy cores)
ANYTHING = float("inf")

_activity: Any = Activity.__table__
_margin: Any = Margin.__table__
_rejected = _activity.c.code.is_not(None)


@dataclass(frozen=True)
class Counts:
    """How many tokens were accepted in each hour, and how many rejections there were of each code.

    An hour is named by its first second, in seconds since 1970. `counted_from` is in seconds since 1970 too.
    """

    accepted: Mapping[int, int]
    rejected: Mapping[tuple[int, str], int]
    counted_from: int

    def accepted_in(self, since: float, until: float = ANYTHING) -> int:
        """Return the number of accepted tokens in the hours that begin between *since* and *until*."""
        return sum(times for hour, times in self.accepted.items() if since <= hour < until)

    def rejected_in(self, since: float, until: float = ANYTHING) -> dict[str, int]:
        """Return the number of rejections for each code, the most frequent first.

        The hours that begin between *since* and *until* are counted.
        """
        found: dict[str, int] = {}
        for (hour, code), times in self.rejected.items():
            if since <= hour < until:
                found[code] = found.get(code, 0) + times
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def since(database: Database, moment: int) -> Counts:
    """Return the counts from *moment*, the first second of an hour."""
    with database.reading() as connection:
        accepted = select(_margin.c.hour * HOUR, func.sum(_margin.c.times)).group_by(_margin.c.hour)
        wanted = accepted.where(_margin.c.quantity == SIZE, _margin.c.hour >= moment // HOUR)
        hours = {hour: int(times) for hour, times in connection.execute(wanted)}
        rejected, counted_from = _rejections(connection, moment)
    return Counts(hours, rejected, counted_from)


def _rejections(connection: Connection, moment: int) -> tuple[dict[tuple[int, str], int], int]:
    first = select(_activity.c.id).where(_activity.c.at >= moment).order_by(_activity.c.at).limit(1)
    floor = (connection.execute(first).scalar() or 0) - DISORDER
    newest = select(_activity.c.at, _activity.c.code, _activity.c.times).where(_rejected, _activity.c.id >= floor)
    last = newest.order_by(_activity.c.id.desc()).limit(MOST_REJECTIONS).subquery()
    hour = last.c.at - last.c.at % HOUR
    counted = select(hour, last.c.code, func.sum(last.c.times), func.count()).group_by(hour, last.c.code)
    rows = connection.execute(counted).all()
    is_cut = sum(lines for *_others, lines in rows) >= MOST_REJECTIONS
    complete = min(at for at, *_others in rows) + HOUR if is_cut else moment
    found = {(at, code): int(times) for at, code, times, _lines in rows if at >= moment}
    return found, max(moment, complete)
