"""Store the measurements of accepted sign-ins: one row per provider, quantity and hour, for any number of workers.

A sign-in only adds to sums in memory. The sums are written about a second later, in a separate transaction, so a
sign-in needs no further SQL statement. If a worker is killed, the measurements of its last second are lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, case, select

from shared.claims import Claims
from shared.folding import Later
from shared.rate_limit_storage import INSERT
from sp.activity.margins import HOUR, Spread, Spreads, measure
from sp.database.access import Database
from sp.database.models import Margin

_table: Any = Margin.__table__


class ProviderHour(NamedTuple):
    """The key of one sum in memory. `hour` is in hours since 1970."""

    provider: str
    hour: int


@dataclass(frozen=True)
class MeasuredHour:
    """The values of one quantity in one hour. `at` is the hour's middle, in seconds since 1970."""

    at: int
    spread: Spread


Measured = Mapping[str, Mapping[str, list[MeasuredHour]]]
"""By provider and quantity, the oldest hour first."""


class MarginBook:
    """Collects the values of one worker."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._later: Later[ProviderHour, Spreads] = Later(self._write)
        # A write after the connections were closed would open a connection that stays open.
        database.when_closed(self._later.pause)

    def note(self, provider: str, claims: Claims, at: float, size: int) -> None:
        """Add the values of an accepted token of *size* bytes that arrived *at*, in seconds since 1970."""
        self._later.add(ProviderHour(provider, int(at) // HOUR), Spreads.of(measure(claims, at, size)))

    def flush(self) -> None:
        """Write the sums that are not in the database yet."""
        self._later.flush()

    def _write(self, sums: Mapping[ProviderHour, Spreads]) -> None:
        with self._database.writing() as connection:
            add(connection, sums)


def add(connection: Connection, sums: Mapping[ProviderHour, Spreads]) -> None:
    """Add *sums* to their rows, and create missing rows."""
    new = INSERT[connection.dialect.name](_table)
    old, more = _table.c, new.excluded
    counted = new.on_conflict_do_update(
        index_elements=[old.provider, old.quantity, old.hour],
        set_={
            "times": old.times + more.times,
            "least": case((more.least < old.least, more.least), else_=old.least),
            "most": case((more.most > old.most, more.most), else_=old.most),
            "total": old.total + more.total,
        },
    )
    rows = [
        {"provider": provider, "quantity": quantity, "hour": hour, **vars(spread)}
        for (provider, hour), spreads in sorted(sums.items())  # in the same order on all nodes, to avoid deadlocks
        for quantity, spread in sorted(spreads.by_quantity.items())
    ]
    connection.execute(counted, rows)


def since(database: Database, moment: float, provider: str | None = None) -> Measured:
    """Return the hours from *moment* (in seconds since 1970) on, of every provider or only of *provider*."""
    query = select(_table).where(_table.c.hour >= int(moment) // HOUR).order_by(_table.c.hour)
    if provider is not None:
        query = query.where(_table.c.provider == provider)
    found: dict[str, dict[str, list[MeasuredHour]]] = {}
    with database.reading() as connection:
        for row in connection.execute(query):
            spread = Spread(row.times, row.least, row.most, row.total)
            hours = found.setdefault(row.provider, {}).setdefault(row.quantity, [])
            hours.append(MeasuredHour(row.hour * HOUR + HOUR // 2, spread))
    return found
