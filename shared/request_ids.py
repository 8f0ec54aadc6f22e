"""Give each request an ID, which the log, the trace and the answer all show.

A trusted proxy may choose the ID (X-Request-Id); otherwise the request gets a random ID. An ID from any other client is
ignored: a stranger who could choose IDs could make two requests look like one, or write into the log. `current()`
returns the ID of the request that this thread answers.
"""

from __future__ import annotations

import os
import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HEADER, IN_ENVIRON = "X-Request-Id", "HTTP_X_REQUEST_ID"
# 64 characters: a UUID or a trace ID fits, and a signed token does not.
_ACCEPTED = re.compile(r"[A-Za-z0-9_.:=+/-]{1,64}", re.ASCII)
_NEW_BYTES = 8
_DRAWN_AT_ONCE = 256  # IDs
_LENGTH = len(HEADER)  # compared first, because this is faster than comparing the names of all headers

_current: ContextVar[str] = ContextVar("lychgate_request_id", default="")
_set_current = _current.set
current = _current.get
"""Return the ID of the request that this thread answers; empty outside of a request."""


def begin(environ: WSGIEnvironment, start_response: StartResponse, *, trusted: bool) -> StartResponse:
    """Give the request its ID, as `assign` does. Return a start_response that adds the ID to the answer."""
    assign(environ, trusted)
    return shown(environ, start_response)


def assign(environ: WSGIEnvironment, trusted: bool) -> None:
    """Give the request in *environ* its ID.

    *trusted* says whether the peer is a trusted proxy. The protected application finds the ID in the header
    X-Request-Id of its request.
    """
    given = environ.get(IN_ENVIRON) if trusted else None
    if given and _ACCEPTED.fullmatch(given):
        request_id = given
    else:
        try:
            request_id = _drawn.pop()  # no two threads get the same one
        except IndexError:
            request_id = _draw()
    environ[IN_ENVIRON] = request_id
    _set_current(request_id)


def shown(environ: WSGIEnvironment, start_response: StartResponse) -> StartResponse:
    """Return *start_response*, changed so that it adds the ID of the request to the answer."""
    request_id = environ[IN_ENVIRON]

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
        for name, _value in headers:
            if len(name) == _LENGTH and name.lower() == "x-request-id":
                headers = [header for header in headers if header[0].lower() != "x-request-id"]
                break
        headers = [*headers, (HEADER, request_id)]
        return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

    return start


_drawn: list[str] = []
"""Random IDs that are not assigned yet. Many are drawn at once, because the system call takes most of the time."""


def _draw() -> str:
    first, *others = os.urandom(_DRAWN_AT_ONCE * _NEW_BYTES).hex(" ", _NEW_BYTES).split()
    _drawn.extend(others)
    return first


os.register_at_fork(after_in_child=_drawn.clear)  # otherwise two processes would assign the same IDs


def resume(environ: WSGIEnvironment) -> None:
    """Continue the request in *environ* in this thread. Another thread has already assigned its ID."""
    _current.set(environ[IN_ENVIRON])


def end() -> None:
    """Forget the ID at the end of the request."""
    _current.set("")
