"""Start a sign-in when the application answers 401 to a person without a session.

Only the status of the response is read. If it is 401, the response is closed and discarded before any part of it is
sent. Every other response is streamed unchanged, and its `close()` is called as usual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def ask_application(
    app: WSGIApplication,
    environ: WSGIEnvironment,
    start_response: StartResponse,
    sign_in: Callable[[], Iterable[bytes]],
) -> Iterable[bytes]:
    """Return the response of *app*. If *app* answers 401, return the response of *sign_in* instead."""
    statuses: list[str] = []

    def note(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
        statuses.append(status)
        if status.startswith("401"):
            return _discard
        return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

    body = app(environ, note)
    if statuses and not statuses[-1].startswith("401"):
        return body
    return _settle(body, statuses, sign_in)


def _settle(body: Iterable[bytes], statuses: list[str], sign_in: Callable[[], Iterable[bytes]]) -> Iterable[bytes]:
    """Read until the application has set its status. It may do so as late as with the first piece of the body."""
    rest = iter(body)
    first: list[bytes] = []
    try:
        while not statuses:
            first.append(next(rest))
    except StopIteration:
        pass
    except BaseException:
        _close(body)
        raise
    if statuses and statuses[-1].startswith("401"):
        _close(body)
        return sign_in()
    return _Resumed(chain(first, rest), body)


class _Resumed:
    """A body whose first pieces have already been read."""

    def __init__(self, pieces: Iterator[bytes], body: Iterable[bytes]) -> None:
        self._pieces, self._body = pieces, body

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        """Close the application's body."""
        _close(self._body)


def _close(body: object) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


def _discard(_data: bytes) -> None:
    """Discard the body that an application writes with its 401."""
