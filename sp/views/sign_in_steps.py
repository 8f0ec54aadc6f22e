"""Answer the steps of a sign-in faster: call their views without the parts of Flask that only pages need.

For each request, Flask searches for the route, opens the session of a form, and sends signals. A step of a sign-in has
a known route and no form. So its view is called directly, and the session and the URL builder are made only if they are
used. Flask's own handlers handle rejections and other errors, within the same request, so nothing is verified or spent
a second time. If a request is unusual (its method, its host, or the characters of the provider's name), Flask handles
it from the beginning. Both ways use the same views, handlers and headers.

Three places repeat Flask, so compare them again at each update of Flask: `StepContext.__init__` repeats that of
`RequestContext`, `SignInSteps.__call__` repeats `Flask.wsgi_app`, and `_answer` repeats `Flask.full_dispatch_request`.
They send no signals, and call no teardown functions. The only one that is registered ends the session of
Flask-SQLAlchemy, which the gateway never uses. tests/sp/views/test_sign_in_steps.py compares the answers of both ways.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flask import Flask
from flask.ctx import AppContext, RequestContext
from flask.globals import _cv_app, _cv_request
from flask.sessions import SessionMixin
from werkzeug.routing import MapAdapter, Rule
from werkzeug.wrappers import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from sp.sites.in_force import Rulebook

STEPS = frozenset(("sso.start", "sso.login_jwt", "sso.access_jwt"))
NAME = "<provider_name>"
KEEPS_CONTEXT = "werkzeug.debug.preserve_context"  # a debugger or test client reads the context afterwards
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class StepContext(RequestContext):
    """The context of a request whose route is known. Session and URLs are made when they are first used."""

    def __init__(self, app: Flask, environ: WSGIEnvironment, rule: Rule, arguments: dict[str, Any]) -> None:
        self.app = app
        self.request = app.request_class(environ)
        self.request.json_module = app.json
        self.request.max_content_length = app.config["MAX_CONTENT_LENGTH"]  # else Flask looks it up at each use
        self.request.max_form_memory_size = app.config["MAX_FORM_MEMORY_SIZE"]
        self.request.max_form_parts = app.config["MAX_FORM_PARTS"]
        self.request.url_rule, self.request.view_args = rule, arguments
        self.flashes = None
        self._session: SessionMixin | None = None
        self._after_request_functions = []
        self._cv_tokens = []

    @cached_property
    def url_adapter(self) -> MapAdapter | None:  # type: ignore[override]
        """The builder of URLs."""
        return self.app.create_url_adapter(self.request)

    @property
    def session(self) -> SessionMixin:
        """Flask's session, for a form."""
        if self._session is None:
            self._session = self.app.session_interface.open_session(self.app, self.request)
        return super().session


class SignInSteps:
    """The WSGI application of *app*, with a shorter way for the steps of a sign-in."""

    def __init__(self, app: Flask, rulebook: Rulebook) -> None:
        self._app, self._flasks_way, self._rulebook = app, app.wsgi_app, rulebook
        rules = {rule.rule: rule for rule in app.url_map.iter_rules() if rule.endpoint in STEPS}
        self._named = {path.removesuffix(NAME): rule for path, rule in rules.items() if path.endswith(NAME)}
        self._exact = {path: rule for path, rule in rules.items() if not path.endswith(NAME)}
        # The last part of these paths, such as /access/jwt/error, is not the name of a provider.
        self._of_others = {rule.rule for rule in app.url_map.iter_rules()} - rules.keys()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        found = self._find(environ)
        if found is None:
            return self._flasks_way(environ, start_response)
        context = StepContext(self._app, environ, *found)
        in_app, in_request = _cv_app.set(AppContext(self._app)), _cv_request.set(context)
        try:
            return self._answer(*found)(environ, start_response)
        finally:
            context.request.close()
            _cv_request.reset(in_request)
            _cv_app.reset(in_app)
            environ["werkzeug.request"] = None  # breaks a reference cycle with the environ

    def _find(self, environ: WSGIEnvironment) -> tuple[Rule, dict[str, Any]] | None:
        """Return the route and its arguments, or None for a request that is not a step, or is unusual."""
        path = environ.get("PATH_INFO", "")
        rule, name = self._exact.get(path), None
        if rule is None:
            before, slash, name = path.rpartition("/")
            rule = self._named.get(before + slash)
            if rule is None or not _PLAIN_NAME.fullmatch(name) or path in self._of_others:
                return None
        if environ["REQUEST_METHOD"] not in (rule.methods or ()) or environ["REQUEST_METHOD"] == "OPTIONS":
            return None
        host = self._rulebook.current.hosts.find(environ.get("HTTP_HOST", ""))
        return (rule, {"provider_name": name}) if host is not None and KEEPS_CONTEXT not in environ else None

    def _answer(self, rule: Rule, arguments: dict[str, Any]) -> Response:
        """Answer as Flask does, even after an error."""
        app = self._app
        try:
            try:
                answer: Any = app.preprocess_request()
                if answer is None:
                    answer = app.view_functions[rule.endpoint](**arguments)
            except Exception as error:
                answer = app.handle_user_exception(error)
            return app.finalize_request(answer)
        except Exception as error:
            return app.handle_exception(error)
