"""Let only members of a group use a view: `require_group`, for Flask, Django, Starlette and FastAPI.

    @app.get("/reports")
    @require_group("staff", "auditors")             # Flask, Django, Starlette: below the route
    def reports(): ...

    @app.get("/reports")
    def reports(user: Annotated[User, Depends(require_group("staff"))]): ...     # FastAPI

Membership in one of the groups is enough. A signed-in person who is in none of the groups gets 403. A visitor who is
not signed in gets 401; if SP_SIGN_IN_ON_401 is set, the gateway then starts a sign-in. A rule in SP_CONFIG can also
limit a path to groups, and rejects a request before it reaches the application. Prefer a rule if the path alone decides
which groups may use the view.

This module imports no framework when it is loaded. It denies a request with the exception or the response class of the
framework that made the request.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from lychgate.user import User, current_user

View = TypeVar("View", bound=Callable[..., Any])

SIGN_IN_FIRST, NOT_A_MEMBER = "Sign in first.", "Your account is not in a group that may open this page."
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="lychgate"'}  # RFC 9110, section 15.5.2: required with 401


def require_group(*groups: str) -> RequiredGroup:
    """Return a decorator for a view. FastAPI can also use it as a dependency.

    Raises ValueError if no group is given.
    """
    if not groups or not all(isinstance(group, str) and group for group in groups):
        raise ValueError('require_group needs the names of groups: @require_group("staff")')
    return RequiredGroup(groups)


class RequiredGroup:
    """Checks that the person is in one of *groups*."""

    def __init__(self, groups: tuple[str, ...]) -> None:
        self._groups = groups

    def __call__(self, view: Any = None, /, **given: Any) -> Any:
        """Decorate *view*. If FastAPI calls this object as a dependency, return the user of the connection instead."""
        if view is None:
            return self._user_of(given["connection"])
        return self._around_async(view) if inspect.iscoroutinefunction(view) else self._around(view)

    @property
    def __signature__(self) -> inspect.Signature:
        """The signature from which FastAPI learns which arguments to pass."""
        requests = sys.modules.get("starlette.requests")
        kind = requests.HTTPConnection if requests else Any
        only = inspect.Parameter("connection", inspect.Parameter.KEYWORD_ONLY, annotation=kind)
        return inspect.Signature([only], return_annotation=User)

    def _around(self, view: View) -> View:
        @functools.wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Any:
            refused = self._refusal(find_request(args, kwargs))
            return view(*args, **kwargs) if refused is None else refused

        return checked  # type: ignore[return-value]

    def _around_async(self, view: View) -> View:
        @functools.wraps(view)
        async def checked(*args: Any, **kwargs: Any) -> Any:
            refused = self._refusal(find_request(args, kwargs))
            return await view(*args, **kwargs) if refused is None else refused

        return checked  # type: ignore[return-value]

    def _user_of(self, request: Any) -> User:
        """Return the person, or raise the framework's exception for 401 or 403."""
        user = current_user(request)
        if user is not None and user.is_in(*self._groups):
            return user
        raise denial(request, 401 if user is None else 403)

    def _refusal(self, request: Any) -> Any:
        """Return None if the person may use the view, and otherwise deny the request with 401 or 403.

        Usually this method denies by raising the framework's exception. Django has no exception for 401, so in this
        case the method returns a Django response.
        """
        if is_of_django(request) and current_user(request) is None:
            make = import_module("django.http").HttpResponse
            headers = {"Content-Type": "text/plain", **CHALLENGE}
            return make(SIGN_IN_FIRST, status=401, headers=headers)  # Django has no exception for 401
        self._user_of(request)
        return None


def denial(request: Any, status: int) -> Exception:
    """Return the exception for which the framework of *request* sends an answer with this *status*."""
    text = SIGN_IN_FIRST if status == 401 else NOT_A_MEMBER
    if is_of_django(request):
        return import_module("django.core.exceptions").PermissionDenied(text)  # type: ignore[no-any-return]
    if hasattr(request, "scope"):
        headers = CHALLENGE if status == 401 else None
        return import_module("starlette.exceptions").HTTPException(status, text, headers)  # type: ignore[no-any-return]
    exceptions = import_module("werkzeug.exceptions")
    if status == 401:
        challenge = import_module("werkzeug.datastructures").WWWAuthenticate("bearer", {"realm": "lychgate"})
        return exceptions.Unauthorized(text, www_authenticate=challenge)  # type: ignore[no-any-return]
    return exceptions.Forbidden(text)  # type: ignore[no-any-return]


def is_of_django(request: Any) -> bool:
    """Tell whether *request* is a Django request. WSGI and ASGI requests of Django both have META."""
    return hasattr(request, "META")


def find_request(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the request from the arguments of a view, or Flask's current request. Raises TypeError if there is none.

    In views of Django and Starlette the request is the first argument. In methods it is the second, after `self`.
    """
    for argument in (*args[:2], kwargs.get("request"), kwargs.get("websocket")):
        if hasattr(argument, "META") or hasattr(argument, "scope"):
            return argument
    flask = sys.modules.get("flask")
    if flask is not None and flask.has_request_context():
        return flask.request
    raise TypeError("require_group found no request: a view of Django or Starlette gets it as its first argument")
