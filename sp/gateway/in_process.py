"""Decide about requests to applications in this process, in the same way for WSGI and ASGI.

The WSGI and the ASGI middleware describe a request as a WSGI environ, and call the same steps in this order: `arrive`,
`decide`, `instead`, `hand_over`. So neither middleware can allow more than the other. They look up a session that is
not cached in different threads: WSGI in the request's own thread, ASGI in another one. They also send answers in
different ways.

If `instead` returns a WSGI application, that application answers the request. If it returns None, the next step runs.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from shared import request_ids
from sp.current import SITE
from sp.diagnosis.doctor.tickets import OWN_PATH, PATH
from sp.gateway.access import (
    HAS_TOKEN,
    UNUSUAL,
    AccessControl,
    Presented,
    SiteAccess,
    SitesInForce,
    asked_for,
    decoded,
)
from sp.gateway.denied import CHALLENGE, DeniedResponses, foreign_host, no_application, store_down, why
from sp.gateway.destinations import Destination
from sp.gateway.doctor_echo import DoctorEcho, is_for_echo
from sp.gateway.forward_auth import ForwardAuth
from sp.metrics_counters import counters
from sp.policy.decision import LET_IN, SIGNED_IN, Verdict, about_everybody, is_unambiguous
from sp.policy.method_overrides import in_query
from sp.policy.raw_path import other_spellings
from sp.request.identity_headers import STRANGER, IdentityHeaderFilter, Sender, introduce
from sp.request.kind import is_navigation
from sp.routes import FOR_MACHINES, FORWARD, NGINX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from flask import Flask

    from sp.policy.decision import Decision
    from sp.sessions.store import Session

    AtOnce = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes] | None]


class InProcess:
    """The steps for the gateway's own Flask application, *own*. *skin* is the entry point's name in the metrics."""

    def __init__(self, own: Flask, skin: str, *, sign_in_on_401: bool | None) -> None:
        core = own.extensions["lychgate"]
        keeper = self.keeper = AccessControl(core)
        self.sign_in_on_401 = keeper.config.sign_in_on_401 if sign_in_on_401 is None else sign_in_on_401
        self.count = counters.decisions(skin)
        self._own = own.wsgi_app
        self._peers, self._is_trusted, self._host = keeper.peers, keeper.peers.include, keeper.host
        self._own_exact, self._own_prefixes = keeper.own.exact, keeper.own.prefixes
        self._sieve = IdentityHeaderFilter(UNUSUAL)
        self._answers = DeniedResponses(self._own, keeper.config.prefix, keeper.host.netloc)
        self._doctor = DoctorEcho(keeper)
        (self._doctor_path,) = keeper.own.at(OWN_PATH)
        forward_auth = ForwardAuth(keeper, self._answers, core.assertions, self._doctor)
        nginx, forward = keeper.own.at(NGINX, FORWARD)
        self._skins = {nginx: forward_auth.nginx, forward: forward_auth.forward}
        self._at_once = {nginx: forward_auth.nginx_at_once, forward: forward_auth.forward_at_once}
        self._by_any_name = frozenset([nginx, forward, *keeper.own.at(*FOR_MACHINES)])
        self.reload = core.reloader.request
        core.reloader.serve()

    def arrive(self, environ: WSGIEnvironment) -> Destination | None:
        """Give the request its ID, and remove headers that its sender may not set.

        Return the destination of the request. Return None if its host belongs to none of the gateway's sites, unless
        the path may be used with any host name: a forward-auth endpoint, or one of FOR_MACHINES.
        """
        path = environ.get("PATH_INFO") or "/"
        peer = environ["lychgate.peer"] = environ.get("REMOTE_ADDR", "")
        trusted = self._is_trusted(peer)
        request_ids.assign(environ, trusted)
        if trusted:
            is_usual = self._sieve.clean(environ, Sender.QUESTIONER if path in self._skins else Sender.PROXY)
            self._peers.believe(environ)
        else:
            is_usual = self._sieve.clean(environ, STRANGER)
        in_force, key = self.keeper.in_force(), (environ.get("HTTP_HOST", ""), environ["REQUEST_METHOD"], path)
        destination = in_force.destinations.get(key) or self._find(in_force, *key)
        if destination is None:
            return None
        environ[SITE] = destination.access.name
        return destination if is_usual else destination.with_care()

    def destination(self, environ: WSGIEnvironment) -> Destination | None:
        """Return the destination of a request that arrived earlier, by the rules in force now."""
        key = environ.get("HTTP_HOST", ""), environ["REQUEST_METHOD"], environ.get("PATH_INFO") or "/"
        found = self._find(self.keeper.in_force(), *key)
        return None if found is None else found.with_care()

    def _find(self, in_force: SitesInForce, host: str, method: str, path: str) -> Destination | None:
        """Return the destination by the rules in force, and cache it.

        Because it is cached, the result must depend on nothing but the arguments.
        """
        access = in_force.at(host)
        if access is None:
            if path not in self._by_any_name:
                return None
            access = in_force.home
        if path.startswith(self._own_prefixes) or path in self._own_exact:
            found = Destination(path, access, self._skins.get(path, self._answer_for_ourselves))
        else:
            possible = access.possible(method, path)
            found = Destination(path, access, None, possible, about_everybody(possible), path.startswith(PATH))
        return in_force.destinations.remember((host, method, path), found)

    def foreign_host(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request for a host that belongs to none of the gateway's sites."""
        reason = foreign_host(environ.get("HTTP_HOST", ""), self._host)
        return self._answers.turn_away(reason, environ, start_response)

    def decide(self, environ: WSGIEnvironment, destination: Destination, session: Session | None) -> Decision:
        """Return the decision about a request for the application."""
        access, path, query = destination.access, destination.path, environ.get("QUERY_STRING", "")
        possible = destination.possible
        if possible and not (query and in_query(query)) and not other_spellings(environ, path):  # nearly always
            decision = destination.signed_in if session is not None else None
            if decision is None:
                decision = possible[possible[0].rule.judge(session)]
            access.count(decision.number)
            return decision
        path = decoded(path)
        spellings, method = other_spellings(environ, path), environ["REQUEST_METHOD"]
        return access.decide(environ, method, path, session, environ.get("HTTP_HOST", ""), spellings, query)

    def instead(
        self, decision: Decision, environ: WSGIEnvironment, destination: Destination, session: Session | None
    ) -> WSGIApplication | None:
        """Return what answers instead of the application, or None if the application answers.

        The application answers if the *decision* allows the request, unless the doctor's echo answers it.
        """
        may_be_shown = destination.is_probe and is_for_echo(decision, destination.path)
        if may_be_shown and (ticket := self._doctor.ticket(environ)) is not None:
            return partial(self._doctor.echo, ticket)
        if decision.verdict is LET_IN:
            return None
        if decision.verdict is not Verdict.SIGN_IN:
            return partial(self._answers.turn_away, why(decision.verdict, decision.rule, session))
        ask = self.ask_to_sign_in if is_navigation(environ, environ["REQUEST_METHOD"]) else self._tell_to_sign_in
        return partial(ask, destination.access)

    def hand_over(
        self, environ: WSGIEnvironment, access: SiteAccess, presented: Presented, session: Session | None
    ) -> None:
        """Remove the gateway's cookies and tokens from *environ*, and add the identity of the signed-in person."""
        if "HTTP_COOKIE" in environ:
            environ["HTTP_COOKIE"] = presented.others
            if not presented.others:
                del environ["HTTP_COOKIE"]
        if HAS_TOKEN in environ and environ.pop(HAS_TOKEN):
            del environ["HTTP_AUTHORIZATION"]  # the token is valid at every site; the application does not need it
        if session is not None:
            introduce(environ, session, access.header_set, access.name)

    def ask_to_sign_in(
        self, access: SiteAccess, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Redirect a person to the sign-in.

        If the request was the POST of a form, the browser returns to the same URL with GET, without the form's fields.
        """
        status = 303 if environ["REQUEST_METHOD"] == "POST" else 302
        location = access.sign_in_url(asked_for(environ))
        return self._answers.say(environ, start_response, status, "Sign in first.", headers=[("Location", location)])

    def store_down(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer that the session cannot be read, because the database does not answer."""
        return self._answers.turn_away(store_down(), environ, start_response)

    def busy(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer with the same text as `store_down`, but do not render a page."""
        reason = store_down()
        return self._answers.say(environ, start_response, reason.status, str(reason.text), headers=reason.headers)

    def headers_too_large(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request whose headers are too large."""
        text = "The headers of this request are too large. Delete the cookies of this site, then try again."
        return self._answers.say(environ, start_response, 431, text)

    def no_application(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer for a site that has no application in this process."""
        return self._answers.turn_away(no_application(), environ, start_response)

    def at_once(self, environ: WSGIEnvironment) -> AtOnce | None:
        """Return the function that answers a trusted proxy's forward-auth request from memory.

        Return None for all other requests.
        """
        answer = self._at_once.get(environ["PATH_INFO"])
        return answer if answer is not None and self._peers.include(environ["REMOTE_ADDR"]) else None

    def _answer_for_ourselves(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO") or "/"
        if path == self._doctor_path and (echo := self._doctor.own_echo(environ, start_response)) is not None:
            return echo
        if not is_unambiguous(decoded(path)):
            reason = why(Verdict.AMBIGUOUS, SIGNED_IN, None)
            return self._answers.turn_away(reason, environ, start_response)
        return self._own(environ, start_response)

    def _tell_to_sign_in(
        self, access: SiteAccess, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        body = {
            "error": "sign_in_required",
            "error_description": "Sign in first.",
            "sign_in_url": access.sign_in_url("/"),
        }
        return self._answers.say(
            environ, start_response, 401, json.dumps(body), "application/json", [CHALLENGE]
        )  # fmt: skip
