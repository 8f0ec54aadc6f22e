"""WSGI middleware: protect any application, and pass it the identity of the signed-in person.

    from sp.gateway import Gateway
    application = Gateway(application)

It is safe if it is the outermost layer, and the WSGI server passes requests on unchanged. First, the middleware removes
identity headers from the request, in every spelling. Then it sets the true identity in environ keys that no header can
set. It never calls the application before it has decided. PATH_INFO, SCRIPT_NAME, bodies, streams, `wsgi.file_wrapper`
and `close()` pass through unchanged. From the response, it removes cookies that have the name of a gateway cookie, and
replaces the ID of the request. With *sign_in_on_401*, a 401 is replaced by a redirect to the sign-in if a visitor
without a session asked for a page.
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

    If *sign_in_on_401* is true, a sign-in begins when the application answers 401 and the person is not signed in. This
    is for applications that are open to everyone and decide themselves which pages need a sign-in. The default is the
    setting SP_SIGN_IN_ON_401.

    *sites* maps the names of further sites to their applications. A site that is not in it can be protected only
    through forward-auth.
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
        """Read the file of SP_CONFIG again, in a thread, and return at once.

        If the file, or what it refers to, has changed, it is put in force.
        """
        self._steps.reload()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Decide about a request. Then pass it to the application or to the gateway's own pages, or deny it."""
        destination = self._steps.arrive(environ)
        if destination is None:
            return self._steps.foreign_host(environ, request_ids.shown(environ, start_response))
        if destination.own is not None:
            return destination.own(environ, request_ids.shown(environ, start_response))
        return self._answer_for_the_application(destination, environ, start_response)

    def answer_at_once(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes] | None:
        """Answer a forward-auth request from memory, in the event loop of Lychgate's own server (`shared.worker`).

        Returns None if the event loop cannot answer; then a thread must handle the request from the beginning. Raises
        InThread if the decision is made, and a thread must send the answer.
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
        """Tell whether *target* is one of the gateway's own URLs.

        Requests to these URLs have small bodies, so Lychgate's own server may read the whole body before a thread
        starts.
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
