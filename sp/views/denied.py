"""The page of those who are not let in: who they are, what is missing, and how to go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Blueprint, abort, request
from flask.typing import ResponseReturnValue

from shared.web import page

if TYPE_CHECKING:
    from sp.sessions.store import Session

DOOR = "/sso/turned-away"
KEY = "lychgate.turned_away"

views = Blueprint("turned_away", __name__)


@dataclass(frozen=True)
class TurnedAway:
    """Why a request is not let in. `missing` is what the person would need, one phrase each; `link` a way on."""

    status: int
    code: str
    title: str
    text: str
    session: Session | None = None
    missing: tuple[str, ...] = ()
    link: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@views.get(DOOR)
def turned_away() -> ResponseReturnValue:
    """Show why. From outside nothing leads here: the reason stands where no header reaches."""
    reason = request.environ.get(KEY)
    if not isinstance(reason, TurnedAway):
        abort(404)
    response = page("sp/turned_away.html", reason.status, reason=reason)
    response.headers.extend(reason.headers)
    return response
