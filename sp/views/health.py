"""Answer health checks: whether the process is alive, and whether it is ready to serve."""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from shared.disk import write_trouble
from shared.errors import Rejection
from shared.schema import DatabaseError, clock_complaint, is_up_to_date
from sp.current import components
from sp.database import MIGRATIONS

views = Blueprint("health", __name__)


@views.get("/healthz")
def alive() -> ResponseReturnValue:
    """Answer 200: the process is alive."""
    return jsonify(status="alive")


@views.get("/readyz")
def ready() -> ResponseReturnValue:
    """Check what a sign-in needs. 503 lists what is missing; `warnings` lists what may fail soon."""

    missing, warnings = [], []
    engine = components().database.engine
    try:
        if not is_up_to_date(engine, MIGRATIONS):
            missing.append("database: its schema does not match this version")
        warnings.append(clock_complaint(engine))
        if trouble := write_trouble(engine):
            missing.append(f"database: cannot be written: {trouble}")
    except DatabaseError:
        missing.append("database: does not answer")
    replay = components().replay
    try:
        warnings.append(replay.check())
    except Rejection:
        missing.append(f"{replay.store}: does not answer")
    if missing:
        return jsonify(status="not ready", missing=missing), 503
    # A clock difference is only a warning. If it were a 503, a wrong clock of the store would stop all nodes at once.
    if said := [warning for warning in warnings if warning]:
        return jsonify(status="ready", warnings=said)
    return jsonify(status="ready")
