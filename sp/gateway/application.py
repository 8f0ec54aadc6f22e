"""Import the protected application that SP_APP names, in each worker.

It is imported after the fork and nowhere else, as many applications start threads when they are imported, and a thread
does not survive a fork. What is not a WSGI application is refused at the start, as far as that shows from outside.
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


def load(target: str) -> WSGIApplication:
    """Return the application that `module:callable` or `module:factory()` names. Raises SettingsRefused."""
    module, _colon, name = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), name.removesuffix(FACTORY))
        application = found() if name.endswith(FACTORY) else found
    except (Exception, SystemExit) as error:
        raise SettingsRefused([f"SP_APP {target} cannot be loaded: {cause(error)}"]) from error
    if (why := why_not_wsgi(application)) is not None:
        hint = "" if name.endswith(FACTORY) else f"; if it makes one, write {target}()"
        raise SettingsRefused([f"SP_APP {target} is not a WSGI application: {why}{hint}"])
    return application  # type: ignore[no-any-return]


def why_not_wsgi(application: Any) -> str | None:
    """Return why *application* cannot be one, or None. What cannot be seen from outside counts as one."""
    if not callable(application):
        return f"an object of the type {type(application).__name__} cannot be called"
    for called in (application, getattr(application, "__call__", None)):  # noqa: B004
        if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
            return "it is asynchronous, so perhaps an ASGI one: put a2wsgi.ASGIMiddleware around it"
    try:
        signature = inspect.signature(application, follow_wrapped=False)
    except (TypeError, ValueError):
        return None
    try:
        signature.bind({}, None)
    except TypeError:
        return f"it takes {signature} and not (environ, start_response)"
    return None


def cause(error: BaseException) -> str:
    """Return what went wrong, and in which line of which file."""
    said = f"{type(error).__name__}: {error}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)[1:] if "importlib" not in frame.filename]
    if not frames or isinstance(error, SyntaxError):  # which names its own line
        return said
    return f"{said} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
