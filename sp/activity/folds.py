"""Count rejections in one log line per code, provider and hour, for any number of rejections and workers.

The line's reference is derived from code, provider and hour. So each worker can show the reference to a person before
the line is written, and `/settings/activity` finds the line by this reference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case

from shared.folding import Count
from shared.rate_limit_storage import INSERT
from shared.references import REFERENCE_ALPHABET, REFERENCE_LENGTH
from sp.activity.record import REFUSED
from sp.database.models import Activity

WINDOW = 3600  # seconds that a line counts
DETAIL = "counted together: more refusals of this kind came than are written down one by one"

_table: Any = Activity.__table__


@dataclass(frozen=True)
class Fold:
    """The code, provider and hour that one line counts.

    A stranger cannot cause an unlimited number of lines, because only existing providers count.
    """

    code: str
    provider: str | None
    window: int

    @classmethod
    def at(cls, now: int, code: str, provider: str | None) -> Fold:
        """Return the fold of a rejection at *now*, in seconds since 1970."""
        return cls(code, provider, now // WINDOW)

    @property
    def reference(self) -> str:
        """The line's reference, which the rejected person sees as well."""
        name = f"refusals counted together\0{self.code}\0{self.provider or ''}\0{self.window}"
        number, letters = int.from_bytes(hashlib.sha256(name.encode()).digest()), ""
        for _ in range(REFERENCE_LENGTH):
            number, letter = divmod(number, len(REFERENCE_ALPHABET))
            letters += REFERENCE_ALPHABET[letter]
        return letters


def add(connection: Connection, counts: Mapping[Fold, Count]) -> None:
    """Add *counts* to their lines, and create missing lines."""
    rows = [_row(fold, count) for fold, count in counts.items()]
    new = INSERT[connection.dialect.name](_table)
    later = case((_table.c.last_at < new.excluded.last_at, new.excluded.last_at), else_=_table.c.last_at)
    counted = new.on_conflict_do_update(
        index_elements=[_table.c.reference],
        set_={"times": _table.c.times + new.excluded.times, "last_at": later},
    )
    # Write in the same order on all nodes, to avoid deadlocks.
    connection.execute(counted, sorted(rows, key=lambda row: str(row["reference"])))


def _row(fold: Fold, count: Count) -> dict[str, object]:
    return {
        "reference": fold.reference,
        "at": count.first,
        "last_at": count.last,
        "times": count.times,
        "event": REFUSED,
        "code": fold.code,
        "provider": fold.provider,
        "address": "",
        "user_agent": "",
        "detail": DETAIL,
    }
