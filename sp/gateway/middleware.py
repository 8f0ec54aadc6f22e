"""WSGI middleware: protect any application, and pass it the identity of the signed-in person.

    from sp.gateway import Gateway
    application = Gateway(application)

It is safe if it is the outermost layer and the WSGI server passes on what the client sent. First, identity headers are
removed from the request in every spelling; then the true identity is set in environ keys that no header can set. The
application is never called before the decision is made. PATH_INFO and SCRIPT_NAME are not changed; bodies, streams,
`wsgi.file_wrapper` and `close()` pass through unchanged. From the response, only cookies with our names are removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING

from shared import request_ids
from shared.errors import StoreUnavailable
from shared.threads import TAKE_YOUR_TIME
from sp.current import SITE
from sp.diagnosis.doctor.tickets import OWN_PATH
from sp.gateway.access import AccessControl, SiteAccess, asked_for, decoded
from sp.gateway.application import why_not_wsgi
from sp.gateway.cookie_guard import guarded
from sp.gateway.denied import CHALLENGE, DeniedResponses, foreign_host, no_application, store_down, why
from sp.gateway.doctor_echo import DoctorEcho, is_for_echo
from sp.gateway.forward_auth import ForwardAuth
from sp.gateway.sign_in_on_401 import ask_application
from sp.metrics_counters import IN_PROCESS, counters
from sp.policy.decision import SIGNED_IN, Verdict, is_unambiguous
from sp.policy.raw_path import other_spellings
from sp.request.identity_headers import IdentityHeaderFilter, Sender, introduce
from sp.request.kind import is_navigation
from sp.routes import FOR_MACHINES, FORWARD, HOME, NGINX
from sp.sessions.store import API

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from flask import Flask

    from sp.policy.decision import Decision
    from sp.sessions.store import Session


class Gateway:
    """Wraps *app*. Settings come from the environment unless a ready gateway application, *own*, is given.

    *sign_in_on_401*: begin a sign-in if the application itself answers 401 and the person is not signed in. This is for
    applications that are open to everyone and decide themselves which pages need a sign-in. The default is the setting
    SP_SIGN_IN_ON_401. *sites* are the applications of further sites by the site's name. A site that is not among them
    is protected through forward-auth only.
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
        core = self.own.extensions["lychgate"]
        keeper = self._keeper = AccessControl(core)
        self._peers, self._host = keeper.peers, keeper.host
        self._own_exact, self._own_prefixes = keeper.own.exact, keeper.own.prefixes
        self._sign_in_on_401 = keeper.config.sign_in_on_401 if sign_in_on_401 is None else sign_in_on_401
        self._sieve = IdentityHeaderFilter()
        self._answers = DeniedResponses(self.own.wsgi_app, keeper.config.prefix, keeper.host.netloc)
        self._doctor = DoctorEcho(keeper)
        (self._doctor_path,) = keeper.own.at(OWN_PATH)
        forward_auth = ForwardAuth(keeper, self._answers, core.assertions, self._doctor)
        nginx, forward = keeper.own.at(NGINX, FORWARD)
        self._skins = {nginx: forward_auth.nginx, forward: forward_auth.forward}
        self._by_any_name = frozenset([nginx, forward, *keeper.own.at(*FOR_MACHINES)])
        self._count = counters.decisions(IN_PROCESS)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Decide, and then pass the request to the application or our own pages, or deny it."""
        path = environ.get("PATH_INFO") or "/"
        peer = environ["lychgate.peer"] = environ.get("REMOTE_ADDR", "")
        trusted = self._peers.include(peer)
        start_response = request_ids.begin(environ, start_response, trusted=trusted)
        if trusted:
            self._sieve.clean(environ, Sender.QUESTIONER if path in self._skins else Sender.PROXY)
            self._peers.believe(environ)
        else:
            self._sieve.clean(environ, Sender.STRANGER)
        host = environ.get("HTTP_HOST", "")
        access = self._keeper.at(host)
        if access is None:
            if path not in self._by_any_name:
                return self._answers.turn_away(foreign_host(host, self._host), environ, start_response)
            access = self._keeper.home
        environ[SITE] = access.name
        if path.startswith(self._own_prefixes) or path in self._own_exact:
            return self._answer_for_ourselves(path, environ, start_response)
        return self._answer_for_the_application(path, access, environ, start_response)

    def _answer_for_the_application(
        self, path: str, access: SiteAccess, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        began = perf_counter_ns()
        presented = access.presented(environ)
        try:
            session = access.session(environ, presented)
        except StoreUnavailable:
            return self._answers.turn_away(store_down(), environ, start_response)
        decoded_path = decoded(path)
        spellings = other_spellings(environ, decoded_path)
        method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
        host = environ.get("HTTP_HOST", "")
        decision = access.decide(environ, method, decoded_path, session, host, spellings, query)
        self._count(decision.verdict, began)
        if is_for_echo(decision, decoded_path) and (echo := self._doctor.echo(environ, start_response)) is not None:
            return echo
        if decision.verdict is not Verdict.LET_IN:
            return self._turn_away(decision, session, access, environ, start_response)
        application = self.app if access.name == HOME else self._of_sites.get(access.name)
        if application is None:
            return self._answers.turn_away(no_application(), environ, start_response)
        if "HTTP_COOKIE" in environ:
            environ["HTTP_COOKIE"] = presented.others
            if not presented.others:
                del environ["HTTP_COOKIE"]
        if (take_your_time := environ.get(TAKE_YOUR_TIME)) is not None:
            take_your_time()
        if session is not None:
            introduce(environ, session, access.header_set, access.name)
            if session.kind == API:
                del environ["HTTP_AUTHORIZATION"]  # our access token; the application does not need it
        elif self._sign_in_on_401 and is_navigation(environ, environ["REQUEST_METHOD"]):
            asked = dict(environ)
            sign_in = partial(self._sign_in, access, asked, start_response)
            return ask_application(application, environ, guarded(start_response), sign_in)
        return application(environ, guarded(start_response))

    def _answer_for_ourselves(
        self, path: str, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if (skin := self._skins.get(path)) is not None:
            return skin(environ, start_response)
        if path == self._doctor_path and (echo := self._doctor.own_echo(environ, start_response)) is not None:
            return echo
        if not is_unambiguous(decoded(path)):
            reason = why(Verdict.AMBIGUOUS, SIGNED_IN, None)
            return self._answers.turn_away(reason, environ, start_response)
        return self.own.wsgi_app(environ, start_response)

    def _turn_away(
        self,
        decision: Decision,
        session: Session | None,
        access: SiteAccess,
        environ: WSGIEnvironment,
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        if decision.verdict is not Verdict.SIGN_IN:
            return self._answers.turn_away(why(decision.verdict, decision.rule, session), environ, start_response)
        if is_navigation(environ, environ["REQUEST_METHOD"]):
            return self._sign_in(access, environ, start_response)
        body = {
            "error": "sign_in_required",
            "error_description": "Sign in first.",
            "sign_in_url": access.sign_in_url("/"),
        }
        return self._answers.say(
            environ, start_response, 401, json.dumps(body), "application/json", [CHALLENGE]
        )  # fmt: skip

    def _sign_in(self, access: SiteAccess, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Redirect a person to the sign-in. After a form's POST, the browser returns with GET, without the fields."""
        status = 303 if environ["REQUEST_METHOD"] == "POST" else 302
        location = access.sign_in_url(asked_for(environ))
        return self._answers.say(environ, start_response, status, "Sign in first.", headers=[("Location", location)])
