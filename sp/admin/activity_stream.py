"""Send new lines of the activity log as server-sent events, or all lines as a file.

The live view and the file each keep a thread of the worker busy. So a worker sends at most SLOTS of these answers at a
time. A live view ends after LIVE_SECONDS; then the browser connects again, perhaps to another worker. The session is
looked up again before each step. So after a sign-out, the answer ends as soon as any other page would refuse the
person.
"""

from __future__ import annotations

import csv
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from flask import Response, current_app, render_template, request
from flask.ctx import RequestContext
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, ServiceUnavailable

from shared.clock import time_now
from shared.errors import StoreUnavailable
from shared.request_limits import row_id_argument
from sp.activity import browsing
from sp.activity.search import Line
from sp.admin import activity_filter
from sp.admin.activity import views
from sp.current import components
from sp.events import WORDS
from sp.views.people import browser_session

SLOTS = 2  # streams that a worker sends at a time; it has 8 to 16 threads
LIVE_SECONDS = 25.0  # shorter than the grace period of servers that stop
POLL_SECONDS = 1.0
RETRY = 2000  # milliseconds until the browser connects again
BATCH = 500  # lines of an export in memory
COLUMNS = (
    *("reference", "at", "last_at", "times", "event", "code", "provider", "email", "subject", "account_id"),
    *("ip", "user_agent", "detail"),
)
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # a spreadsheet would run a text that begins with one of these
# A formula may also begin inside a text, where a spreadsheet may begin a new cell: in many languages, Excel separates
# cells by ";". The expression matches a whole run of separators and of characters that a spreadsheet skips before a
# formula. So the time that it takes is linear in the length of the text.
_BETWEEN_CELLS = re.compile(r"[;|\s\"']+")
_DIVIDERS = ";|\t\r\n"

_slots = threading.BoundedSemaphore(SLOTS)


@views.get("/settings/activity/live")
def live() -> ResponseReturnValue:
    """Send new lines as server-sent events, which contain rows for the table of the page."""
    asked = activity_filter.read(request.args, time_now())
    last = request.headers.get("Last-Event-ID", "")
    after = int(last) if last.isascii() and last.isdigit() and len(last) < 19 else row_id_argument("after")
    if after is None:
        raise BadRequest("The URL has no row to begin after. Go back and use the link.")
    headers = {"X-Accel-Buffering": "no"}  # otherwise nginx buffers the lines
    return _sent(_events(asked.wanted, after, _in_this_request()), "text/event-stream", headers)


@views.get("/settings/activity/export.<kind>")
def export(kind: str) -> ResponseReturnValue:
    """Send every line that the filter selects, as CSV or as JSON lines."""
    writers: dict[str, tuple[str, Callable[[Iterator[Line]], Iterator[str]]]] = {
        "csv": ("text/csv; charset=utf-8", _csv),
        "jsonl": ("application/jsonl", _json_lines),
    }
    if kind not in writers:
        raise BadRequest("Lines can be exported as csv or jsonl. Go back and use the link.")
    mimetype, write = writers[kind]
    asked = activity_filter.read(request.args, time_now())
    headers = {"Content-Disposition": f'attachment; filename="activity.{kind}"'}
    return _sent(
        write(_all_lines(browsing.all_pages(components().database, asked.wanted, BATCH), _in_this_request())),
        mimetype,
        headers,
    )


def _sent(parts: Iterator[str], content_type: str, headers: dict[str, str]) -> Response:
    """Return the answer that sends *parts*, if a slot is free. Closing the answer frees the slot."""
    if request.method == "HEAD":
        return Response(content_type=content_type, headers=headers)
    if not _slots.acquire(blocking=False):
        message = "Too many live views and exports are open. Close one, or try again in a minute."
        raise ServiceUnavailable(message, retry_after=30)
    response = Response(parts, content_type=content_type, headers=headers)
    response.call_on_close(_slots.release)
    return response


def _in_this_request() -> Callable[[], RequestContext]:
    """Return a function that restores the context of this request, for one step of sending the answer."""
    app, environ = current_app._get_current_object(), request.environ  # type: ignore[attr-defined]
    return lambda: app.request_context(environ)


def _events(wanted: browsing.Filter, after: int, again: Callable[[], RequestContext]) -> Iterator[str]:
    yield f"retry: {RETRY}\n\n"
    ends_at = time.monotonic() + LIVE_SECONDS
    while time.monotonic() < ends_at:
        with again():
            if not _may_read():
                return
            try:
                lines, after = browsing.newer(components().database, wanted, after)
            except StoreUnavailable:
                return
            rows = render_template("sp/settings/activity_rows.html", lines=lines, events=WORDS) if lines else ""
        yield "".join(f"data: {text}\n" for text in rows.splitlines()) + f"id: {after}\n\n"
        if len(lines) < browsing.PAGE_ROWS:
            time.sleep(POLL_SECONDS)


def _all_lines(pages: Iterator[tuple[Line, ...]], again: Callable[[], RequestContext]) -> Iterator[Line]:
    for lines in pages:
        yield from lines
        with again():
            if not _may_read():
                raise StoreUnavailable("the session ended during the export")  # aborts the answer


def _may_read() -> bool:
    session = browser_session(is_use=False)
    return session is not None and session.is_admin


def _csv(lines: Iterator[Line]) -> Iterator[str]:
    yield _csv_row(COLUMNS)
    for line in lines:
        yield _csv_row([_harmless(value) for value in _values(line).values()])


def _csv_row(values: Any) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue()


def _harmless(value: object) -> object:
    """Return *value*. If it is a text, change it so that no spreadsheet runs a part of it as a formula."""
    if not isinstance(value, str):
        return value
    inside = _BETWEEN_CELLS.sub(_guarded, value)
    return f"'{inside}" if value.lstrip(' "').startswith(FORMULA) else inside


def _guarded(run: re.Match[str]) -> str:
    """Return the *run* of separators, with an apostrophe after the last separator if a formula follows."""
    last = max(run[0].rfind(divider) for divider in _DIVIDERS)
    if last < 0 or run.string[run.end() : run.end() + 1] not in ("=", "+", "@", "-"):
        return run[0]
    return f"{run[0][: last + 1]}'{run[0][last + 1 :]}"


def _json_lines(lines: Iterator[Line]) -> Iterator[str]:
    for line in lines:
        yield json.dumps(_values(line), ensure_ascii=False) + "\n"


def _values(line: Line) -> dict[str, object]:
    moments = {name: _rfc3339(getattr(line, name)) for name in ("at", "last_at")}
    return {name: moments.get(name, getattr(line, name)) for name in COLUMNS}


def _rfc3339(moment: int | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")
