"""Show the page for denied requests: who is signed in, what is required, and what to do now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Blueprint, abort, request
from flask.typing import ResponseReturnValue

from shared.phrases import Phrase
from shared.web import page

if TYPE_CHECKING:
    from sp.sessions.store import Session

INTERNAL_PATH = "/sso/denied"
KEY = "lychgate.denied"

views = Blueprint("denied", __name__)


@dataclass(frozen=True)
class Denial:
    """Why a request is denied. `missing` has a phrase for each thing that the person needs. `link` is where to go."""

    status: int
    code: str
    title: Phrase
    text: Phrase
    session: Session | None = None
    missing: tuple[Phrase, ...] = ()
    link: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@views.get(INTERNAL_PATH)
def denied() -> ResponseReturnValue:
    """Show the reason. Only the gateway can set the reason in the WSGI environ, so requests from outside get 404."""
    reason = request.environ.get(KEY)
    if not isinstance(reason, Denial):
        abort(404)
    response = page("sp/denied.html", reason.status, reason=reason)
    response.headers.extend(reason.headers)
    return response
