"""Record rejections in the audit. If they come too fast for a row each, one row counts several of them.

Anyone can try wrong passwords, and a person can request a forbidden service again and again. So `shared.folding`
decides which rejections get their own row. The other rejections share one row for each hour, event and service. Event
and service are our own values, so a stranger cannot cause more of these rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, case

from idp.models import FOLDED, AuditRow
from shared.folding import Budget, Count, Tally, size_of
from shared.rate_limit_storage import INSERT

SIGN_IN_REFUSED, SERVICE_DENIED = "sign_in_refused", "service_denied"  # as in models.REFUSED
ROW_BYTES = 250  # of a row with its index entries, without its longer texts
WINDOW = 3600  # seconds that a row counts
DETAIL = "counted together: more refusals of this kind came than are written down one by one"

_audit: Any = AuditRow.__table__


@dataclass(frozen=True)
class RefusalFold:
    """The event, service and hour that one row counts."""

    event: str
    service: str
    window: int


class Refusals:
    """Decides which rejections of this worker get a row, and counts the others."""

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._writing, self._now = engine.execution_options(write=True), now
        self._budgets = {event: Budget() for event in (SIGN_IN_REFUSED, SERVICE_DENIED)}
        self._tally = Tally(self._write)

    def in_full(self, event: str, email: str = "", service: str = "") -> bool:
        """Tell whether the rejection gets its own row.

        If it does not, count it. The count is written within about a second.
        """
        if self._budgets[event].take(service, size_of(ROW_BYTES, email, service)):
            return True
        now = int(self._now().timestamp())
        self._tally.count(RefusalFold(event, service, now // WINDOW), now)
        return False

    def flush(self) -> None:
        """Write the counts that are not yet written."""
        self._tally.flush()

    def _write(self, counts: Mapping[RefusalFold, Count]) -> None:
        rows = sorted((_row(fold, count) for fold, count in counts.items()), key=lambda row: str(row["fold"]))
        with self._writing.begin() as connection:
            new = INSERT[connection.dialect.name](_audit)
            later = case((_audit.c.last_at < new.excluded.last_at, new.excluded.last_at), else_=_audit.c.last_at)
            counted = new.on_conflict_do_update(
                index_elements=[_audit.c.fold],
                index_where=FOLDED,
                set_={"times": _audit.c.times + new.excluded.times, "last_at": later},
            )
            connection.execute(counted, rows)


def _row(fold: RefusalFold, count: Count) -> dict[str, object]:
    return {
        "at": datetime.fromtimestamp(count.first, UTC),
        "last_at": datetime.fromtimestamp(count.last, UTC),
        "times": count.times,
        "fold": f"{fold.event} {fold.service} {fold.window}",
        "event": fold.event,
        "service": fold.service,
        "email": "",
        "address": "",
        "token_id": "",
        "detail": DETAIL,
    }
