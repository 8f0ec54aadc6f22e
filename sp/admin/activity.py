"""Show every sign-in, accepted or rejected; search by reference, e-mail address or code."""

from __future__ import annotations

from flask import Blueprint, jsonify, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from shared.errors import REJECTIONS
from shared.request_limits import row_id_argument
from shared.web import page, prefers_json
from sp.activity import reading
from sp.activity import search as activity_log
from sp.activity.record import WRONG_PASSWORD
from sp.admin.guard import administrators_only
from sp.current import components
from sp.diagnosis.trial_report import shown
from sp.events import REFUSED, WORDS

views = Blueprint("activity", __name__)
administrators_only(views)

CODES = (*REJECTIONS, WRONG_PASSWORD)


@views.get("/settings/activity", strict_slashes=False)
def index() -> ResponseReturnValue:
    """Show the log, newest first."""
    reference = request.args.get("reference", "").strip().upper()[:16]
    if reference and activity_log.by_reference(components().database, reference) is not None:
        return redirect(url_for("activity.show", reference=reference), 303)
    email = request.args.get("email", "").strip()[:254]
    code = request.args.get("code", "")
    found = activity_log.page(
        components().database,
        email=email,
        code=code if code in CODES else "",
        refused=code == REFUSED,
        before=row_id_argument("before"),
    )
    return page(
        "sp/settings/activity.html",
        404 if reference else 200,
        found=found,
        reference=reference,
        email=email,
        code=code,
        codes=CODES,
        events=WORDS,
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
