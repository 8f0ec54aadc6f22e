"""The page of those who are not let in: who they are, what is missing, and how to go on."""

from __future__ import annotations

from flask import Blueprint, abort, request
from flask.typing import ResponseReturnValue

from shared.web import page
from sp.gateway.denied import DOOR, KEY, TurnedAway

views = Blueprint("turned_away", __name__)


@views.get(DOOR)
def turned_away() -> ResponseReturnValue:
    """Show why. From outside nothing leads here: the reason stands where no header reaches."""
    reason = request.environ.get(KEY)
    if not isinstance(reason, TurnedAway):
        abort(404)
    response = page("sp/turned_away.html", reason.status, reason=reason)
    response.headers.extend(reason.headers)
    return response
