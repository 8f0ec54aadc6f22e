"""Read the filter of the activity page from its URL, and write it back into links.

The whole filter is in the query, so people can save and send the URL of a filtered page. Parts that cannot be read are
ignored, and the page reports them, because a list that only seems filtered would mislead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.errors import REJECTIONS
from sp.activity.browsing import Filter
from sp.events import REFUSED, WORDS, WRONG_PASSWORD

CODES = (*REJECTIONS, WRONG_PASSWORD)
LAST = {"1h": (3600, "the last hour"), "24h": (86_400, "the last 24 hours"), "7d": (604_800, "the last 7 days")}
NAMES = ("email", "code", "event", "provider", "last", "from", "until")  # parameters, in the order of the form
LABELS = {
    "email": "e-mail",
    "code": "code",
    "event": "event",
    "provider": "provider",
    "last": "time",
    "from": "from",
    "until": "until",
}


@dataclass(frozen=True)
class AskedFilter:
    """The filter, the parts of the query that it came from, and the parts that could not be read."""

    wanted: Filter
    query: Mapping[str, str]
    mistakes: tuple[str, ...]

    def without(self, name: str) -> dict[str, str]:
        """Return the query without the parameter *name*."""
        return {key: value for key, value in self.query.items() if key != name}


def read(arguments: Mapping[str, str], now: float) -> AskedFilter:
    """Return the filter in the query *arguments*; *now* is in seconds since 1970."""
    query = {name: arguments.get(name, "").strip()[:254] for name in NAMES}
    mistakes = []
    for name, known in (("code", (*CODES, REFUSED)), ("event", tuple(WORDS)), ("last", tuple(LAST))):
        if query[name] and query[name] not in known:
            mistakes.append(f"There is no {LABELS[name]} {query[name]}: the list shows all.")
            query[name] = ""
    moments = {name: _moment(query[name]) for name in ("from", "until")}
    for name, moment in moments.items():
        if query[name] and moment is None:
            mistakes.append(f"{query[name]} is not a date and time: write it as 2026-11-26T09:30, in UTC.")
            query[name] = ""
    since = int(now) - LAST[query["last"]][0] if query["last"] else moments["from"]
    wanted = Filter(
        email=query["email"],
        code="" if query["code"] == REFUSED else query["code"],
        refused=query["code"] == REFUSED,
        provider=query["provider"].lower(),
        event=query["event"],
        since=since,
        until=None if query["last"] else moments["until"],
    )
    return AskedFilter(wanted, {name: value for name, value in query.items() if value}, tuple(mistakes))


def _moment(text: str) -> int | None:
    try:
        found = datetime.fromisoformat(text)
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None
