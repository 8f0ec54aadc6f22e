"""Give each request an ID, which the log, the trace and the answer all show.

A trusted proxy may name the request (X-Request-Id); otherwise it gets a random ID. Anyone else's name for it is
ignored: a stranger who could choose it could make two requests look like one, or write into the log. `current()` is the
ID of the request that this thread answers.
"""

from __future__ import annotations

import random
import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HEADER, IN_ENVIRON = "X-Request-Id", "HTTP_X_REQUEST_ID"
# 64 characters: a UUID or a trace ID fits, and a signed token does not.
_ACCEPTED = re.compile(r"[A-Za-z0-9_.:=+/-]{1,64}", re.ASCII)
_NEW_BITS = 64
_LEADING_ONE = 1 << _NEW_BITS
_LENGTH = len(HEADER)  # compared first: that is faster than the names of all headers

_random_bits = random.getrandbits

_current: ContextVar[str] = ContextVar("lychgate_request_id", default="")
current = _current.get
"""Return the ID of the request that this thread answers; empty outside of a request."""


def begin(environ: WSGIEnvironment, start_response: StartResponse, *, trusted: bool) -> StartResponse:
    """Give the request in *environ* its ID, as `assign` does; return a start_response that adds it to the answer."""
    assign(environ, trusted=trusted)
    return shown(environ, start_response)


def assign(environ: WSGIEnvironment, *, trusted: bool) -> None:
    """Give the request in *environ* its ID.

    *trusted*: the peer is a trusted proxy. An application behind us finds the same ID in the request's header.
    """
    given = environ.get(IN_ENVIRON, "") if trusted else ""
    request_id = environ[IN_ENVIRON] = given if given and _ACCEPTED.fullmatch(given) else _new()
    _current.set(request_id)


def shown(environ: WSGIEnvironment, start_response: StartResponse) -> StartResponse:
    """Return a *start_response* that adds the ID of the request to the answer."""
    request_id = environ[IN_ENVIRON]

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
        for name, _value in headers:
            if len(name) == _LENGTH and name.lower() == "x-request-id":
                headers = [header for header in headers if header[0].lower() != "x-request-id"]
                break
        headers = [*headers, (HEADER, request_id)]
        return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

    return start


def _new() -> str:
    # A name and not a secret: `secrets` would cost each request a system call. Python seeds each forked process again.
    return hex(_random_bits(_NEW_BITS) | _LEADING_ONE)[3:]  # faster than a format with leading zeros


def resume(environ: WSGIEnvironment) -> None:
    """Go on with the request in *environ* in this thread; another one has given it its ID."""
    _current.set(environ[IN_ENVIRON])


def end() -> None:
    """Forget the ID: this thread does something else now."""
    _current.set("")
