"""Take the application of a test as WSGI, whatever it is written for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lab.in_process.asgi import AsgiApplication
from sp.gateway.application import why_not_wsgi

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def as_wsgi(application: Callable[..., Any]) -> tuple[WSGIApplication, Callable[[], None]]:
    """Return *application* as WSGI, and what is to be called when it is not needed any more. Raises TypeError."""
    if is_asgi(application):
        adapted = AsgiApplication(application)
        return adapted, adapted.close
    if (why := why_not_wsgi(application)) is not None:
        raise TypeError(f"{application!r} is not a WSGI or ASGI application: {why}")
    return application, lambda: None


def is_asgi(application: Callable[..., Any]) -> bool:
    """Tell whether it is asynchronous and takes scope, receive and send, as Starlette, FastAPI and Django's do."""
    for called in (application, getattr(application, "__call__", None)):  # noqa: B004
        if inspect.iscoroutinefunction(called):
            return len(inspect.signature(called).parameters) == 3
    return False
