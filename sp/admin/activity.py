"""Show every sign-in, accepted or rejected, with a search by reference and a filter."""

from __future__ import annotations

from flask import Blueprint, jsonify, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from shared.clock import time_now
from shared.errors import REJECTIONS
from shared.request_limits import row_id_argument
from shared.web import allow_own_script, page, prefers_json
from sp.activity import browsing, reading
from sp.activity import search as activity_log
from sp.admin import activity_filter
from sp.admin.guard import administrators_only
from sp.current import components
from sp.diagnosis.trial_report import shown
from sp.events import WORDS

views = Blueprint("activity", __name__)
administrators_only(views)


@views.get("/settings/activity", strict_slashes=False)
def index() -> ResponseReturnValue:
    """Show the log, newest first, filtered as the query says."""
    reference = request.args.get("reference", "").strip().upper()[:16]
    if reference and activity_log.by_reference(components().database, reference) is not None:
        return redirect(url_for("activity.show", reference=reference), 303)
    asked = activity_filter.read(request.args, time_now())
    before, live = row_id_argument("before"), request.args.get("live") == "1"
    newest = browsing.newest(components().database) if live else 0
    if live:
        allow_own_script(connects=True)
    return page(
        "sp/settings/activity.html",
        404 if reference else 200,
        found=browsing.page(components().database, asked.wanted, before),
        asked=asked,
        reference=reference,
        live=live,
        newest=newest,
        codes=activity_filter.CODES,
        events=WORDS,
        labels=activity_filter.LABELS,
        last=activity_filter.LAST,
        providers=[trusted.provider.name for trusted in components().provider_registry.all()],
        scan_rows=browsing.SCAN_ROWS,
    )


@views.get("/settings/activity/<reference>")
def show(reference: str) -> ResponseReturnValue:
    """Show one log entry with its trace, what the person saw, and what to do; or return the trace as JSON."""
    line = activity_log.by_reference(components().database, reference.upper())
    trace = reading.by_reference(components().database, reference.upper())
    if line is None or trace is None:
        raise NotFound("There is no log entry with this reference. Check the reference.")
    if prefers_json() or request.args.get("format") == "json":
        return jsonify(trace.as_json())
    rejection = REJECTIONS.get(line.code or "")
    return page(
        "sp/settings/activity_line.html", line=line, trace=trace, shown=shown, rejection=rejection, events=WORDS
    )
