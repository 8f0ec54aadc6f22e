"""Import the protected application that SP_APP names, in each worker.

It is imported after the fork, because many applications start threads at import, and threads do not survive a fork. An
object that is clearly not a WSGI application is rejected at the start.
"""

from __future__ import annotations

import importlib
import inspect
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.settings import SettingsRefused

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

FACTORY = "()"  # at the end of SP_APP: call it without arguments, in each worker


def load(target: str, setting: str = "SP_APP") -> WSGIApplication:
    """Return the application that `module:callable` or `module:factory()` names.

    Raises SettingsRefused with a message that names the *setting*.
    """
    module, _colon, name = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), name.removesuffix(FACTORY))
        application = found() if name.endswith(FACTORY) else found
    except (Exception, SystemExit) as error:
        raise SettingsRefused([f"{setting} {target} cannot be loaded: {cause(error)}"]) from error
    if (why := why_not_wsgi(application)) is not None:
        hint = "" if name.endswith(FACTORY) else f"; if it makes one, write {target}()"
        raise SettingsRefused([f"{setting} {target} is not a WSGI application: {why}{hint}"])
    return application  # type: ignore[no-any-return]


def why_not_wsgi(application: Any) -> str | None:
    """Return why *application* cannot be a WSGI application. If it can, or in doubt, return None."""
    if not callable(application):
        return f"an object of the type {type(application).__name__} cannot be called"
    if is_asynchronous(application):
        return (
            "it is asynchronous, so perhaps an ASGI one: put lychgate.AsgiGateway around it, and run it with an ASGI "
            "server such as uvicorn; or put a2wsgi.ASGIMiddleware around it, without WebSockets"
        )
    return _why_not_called_with(application, ({}, None), "(environ, start_response)")


def why_not_asgi(application: Any) -> str | None:
    """Return why *application* cannot be an ASGI application (version 3). If it can, or in doubt, return None."""
    if not callable(application):
        return f"an object of the type {type(application).__name__} cannot be called"
    if inspect.isclass(application):
        return "it is a class, which is ASGI 2: put asgiref.compatibility.guarantee_single_callable around it"
    return _why_not_called_with(application, ({}, None, None), "(scope, receive, send)")


def is_asynchronous(application: Any) -> bool:
    """Tell whether a call of *application* returns a coroutine or an asynchronous generator."""
    return any(
        inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called)
        for called in (application, getattr(application, "__call__", None))  # noqa: B004
    )


def _why_not_called_with(application: Any, arguments: tuple[Any, ...], names: str) -> str | None:
    try:
        signature = inspect.signature(application, follow_wrapped=False)
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(*arguments)
    except TypeError:
        return f"it takes {signature} and not {names}"
    return None


def cause(error: BaseException) -> str:
    """Return the text of an error, with the file and line where it was raised."""
    said = f"{type(error).__name__}: {error}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)[1:] if "importlib" not in frame.filename]
    if not frames or isinstance(error, SyntaxError):  # a SyntaxError names its own line
        return said
    return f"{said} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
