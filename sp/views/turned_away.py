"""Show the page for denied requests: who is signed in, what is required, and what to do now."""

from __future__ import annotations

from flask import Blueprint, abort, request
from flask.typing import ResponseReturnValue

from shared.web import page
from sp.turned_away import DOOR, KEY, TurnedAway

views = Blueprint("turned_away", __name__)


@views.get(DOOR)
def turned_away() -> ResponseReturnValue:
    """Show the reason. This URL answers 404 from outside: the reason is in the environ, which headers cannot set."""
    reason = request.environ.get(KEY)
    if not isinstance(reason, TurnedAway):
        abort(404)
    response = page("sp/turned_away.html", reason.status, reason=reason)
    response.headers.extend(reason.headers)
    return response
