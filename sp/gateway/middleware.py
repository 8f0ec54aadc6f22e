"""WSGI middleware: protect any application, and pass it the identity of the signed-in person.

    from sp.gateway import Gateway
    application = Gateway(application)

It is safe if it is the outermost layer, and the WSGI server passes requests on unchanged. First, identity headers are
removed from the request in every spelling; then the true identity is set in environ keys that no header can set. The
application is never called before the decision is made. PATH_INFO and SCRIPT_NAME are not changed; bodies, streams,
`wsgi.file_wrapper` and `close()` pass through unchanged. From the response, only cookies with our names are removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING

from shared import request_ids
from shared.errors import StoreUnavailable
from shared.threads import TAKE_YOUR_TIME, InThread
from sp.gateway.application import why_not_wsgi
from sp.gateway.cookie_guard import of_application
from sp.gateway.in_process import InProcess
from sp.gateway.sign_in_on_401 import ask_application
from sp.metrics_counters import IN_PROCESS
from sp.request.kind import is_navigation
from sp.routes import HOME

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from flask import Flask

    from sp.gateway.destinations import Destination


class Gateway:
    """Wraps *app*. Settings come from the environment unless a ready gateway application, *own*, is given.

    *sign_in_on_401*: begin a sign-in if the application itself answers 401 and the person is not signed in. This is for
    applications that are open to everyone and decide themselves which pages need a sign-in. The default is the setting
    SP_SIGN_IN_ON_401. *sites* are the applications of further sites by the site's name. A site without an application
    here is protected through forward-auth only.
    """

    def __init__(
        self,
        app: WSGIApplication,
        own: Flask | None = None,
        *,
        sign_in_on_401: bool | None = None,
        sites: Mapping[str, WSGIApplication] | None = None,
    ) -> None:
        from sp.app import create_app

        self.app = app
        self._of_sites = dict(sites or {})
        for application in (app, *self._of_sites.values()):
            if (reason := why_not_wsgi(application)) is not None:
                raise TypeError(f"Gateway protects a WSGI application, and {application!r} is none: {reason}")
        self.own = own or create_app()
        self._steps = InProcess(self.own, IN_PROCESS, sign_in_on_401=sign_in_on_401)

    def reload(self) -> None:
        """Put the file of SP_CONFIG in force if it, or what it refers to, has changed. Returns at once."""
        self._steps.reload()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Decide, and then pass the request to the application or our own pages, or deny it."""
        destination = self._steps.arrive(environ)
        if destination is None:
            return self._steps.foreign_host(environ, request_ids.shown(environ, start_response))
        if destination.own is not None:
            return destination.own(environ, request_ids.shown(environ, start_response))
        return self._answer_for_the_application(destination, environ, start_response)

    def answer_at_once(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes] | None:
        """Answer forward-auth from memory, in our own server's event loop (`shared.worker`).

        Returns None if a thread must answer the unchanged request. Raises InThread if a thread must do the rest.
        """
        steps = self._steps
        if (answer := steps.at_once(environ)) is None:
            return None
        steps.arrive(environ)
        try:
            return answer(environ, request_ids.shown(environ, start_response))
        except InThread as needed:
            raise InThread(partial(self._with_its_id, needed.application)) from None

    @staticmethod
    def _with_its_id(
        application: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        return application(environ, request_ids.shown(environ, start_response))

    def collects_body(self, target: str) -> bool:
        """Tell whether *target* is one of our URLs.

        Then our own server may collect the whole body first, because it is small.
        """
        own, path = self._steps.keeper.own, target.partition("?")[0]
        return path.startswith(own.prefixes) or path in own.exact

    def _answer_for_the_application(
        self, destination: Destination, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        steps, access, began = self._steps, destination.access, perf_counter_ns()
        presented = access.presented(environ)
        try:
            session = access.session(environ, presented)
        except StoreUnavailable:
            return steps.store_down(environ, request_ids.shown(environ, start_response))
        decision = steps.decide(environ, destination, session)
        steps.count(decision.verdict, began)
        if (answer := steps.instead(decision, environ, destination, session)) is not None:
            return answer(environ, request_ids.shown(environ, start_response))
        application = self.app if access.name == HOME else self._of_sites.get(access.name)
        if application is None:
            return steps.no_application(environ, request_ids.shown(environ, start_response))
        if (take_your_time := environ.get(TAKE_YOUR_TIME)) is not None:
            take_your_time()
        steps.hand_over(environ, access, presented, session)
        answered = of_application(start_response, environ[request_ids.IN_ENVIRON])
        if session is None and steps.sign_in_on_401 and is_navigation(environ, environ["REQUEST_METHOD"]):
            sign_in = partial(
                steps.ask_to_sign_in, access, dict(environ), request_ids.shown(environ, start_response)
            )  # fmt: skip
            return ask_application(application, environ, answered, sign_in)
        return application(environ, answered)
