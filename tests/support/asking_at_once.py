"""The gateway as our own server asks it: at once if it can answer from memory, and else in a thread."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from shared.threads import InThread
from sp.gateway import Gateway

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

CHANGING = ("date", "x-request-id", "x-lychgate-assertion")


class AskedTwice(Gateway):
    """Answers each request in both ways, and asserts that there is no difference."""

    at_once = 0  # requests that were answered so

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer in a thread, and then at once."""
        first, answered = _Start(), dict(environ)
        body = b"".join(super().__call__(answered, first))
        again = _Start()
        try:
            body_again = self.answer_at_once(environ, again)
        except InThread as needed:
            body_again = needed.application(environ, again)
        if body_again is not None:
            self.at_once += 1
            assert (again.status, again.compared(), b"".join(body_again)) == (first.status, first.compared(), body)
        start_response(first.status, first.headers)
        return [body]


class _Start:
    def __init__(self) -> None:
        self.status, self.headers = "", [("", "")]

    def __call__(self, status: str, headers: list[tuple[str, str]], _error: Any = None, /) -> Any:
        self.status, self.headers = status, headers
        return lambda _octets: None

    def compared(self) -> list[tuple[str, Any]]:
        """Return the headers; of those that differ at each request, whether they are empty."""
        return [(name, bool(value) if name.lower() in CHANGING else value) for name, value in self.headers]
