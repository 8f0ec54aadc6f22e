"""Convert the application of a test to WSGI, if it is ASGI."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lab.in_process.asgi import AsgiApplication
from sp.gateway.application import why_not_wsgi

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def as_wsgi(application: Callable[..., Any]) -> tuple[WSGIApplication, Callable[[], None]]:
    """Return *application* as WSGI, and the function to call at its end. Raises TypeError."""
    if is_asgi(application):
        adapted = AsgiApplication(application)
        return adapted, adapted.close
    if (why := why_not_wsgi(application)) is not None:
        raise TypeError(f"{application!r} is not a WSGI or ASGI application: {why}")
    return application, lambda: None


def is_asgi(application: Callable[..., Any]) -> bool:
    """Tell whether *application* is asynchronous with scope, receive and send, as in Starlette, FastAPI and Django."""
    for called in (application, getattr(application, "__call__", None)):  # noqa: B004
        if inspect.iscoroutinefunction(called):
            return len(inspect.signature(called).parameters) == 3
    return False
