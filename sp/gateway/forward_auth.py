"""Answer a proxy that asks whether a request may pass (forward-auth). The request itself does not come here.

There are two endpoints, because proxies expect two kinds of answer. nginx (auth_request) understands only 2xx, 401 and
403, and turns every other status into 500. Caddy and Traefik pass the gateway's answer to the browser unchanged. Every
answer that allows a request contains every header of the site's set of identity headers, even if its value is empty, so
that the proxy overwrites the headers of this set that the client sent.

The endpoints are not Flask views, because they must be fast: a proxy asks at every request, even for each image in a
page.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote_from_bytes

from shared.errors import StoreUnavailable
from shared.threads import InThread
from sp.current import SITE
from sp.gateway.access import AS_BROWSERS_SEND, AccessControl, SiteAccess, with_query
from sp.gateway.denied import CHALLENGE, DeniedResponses, foreign_host, store_down, why
from sp.gateway.doctor_echo import DoctorEcho, is_for_echo
from sp.gateway.forward_headers import Asked, Misreported, read_forward, read_nginx
from sp.metrics_counters import FORWARD, NGINX, counters
from sp.outgoing_assertion.claims import claims_about
from sp.policy.decision import LET_IN, Decision, Verdict
from sp.request.identity_headers import ASSERTION, DEFAULT_SET, headers
from sp.request.kind import is_navigation
from sp.sessions.cache import NotCached

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from shared.keys import TokenKey
    from sp.diagnosis.doctor.tickets import Ticket
    from sp.outgoing_assertion.keys import AssertionKeys
    from sp.sessions.store import Session


log = logging.getLogger("lychgate")


class ForwardAuth:
    """Answers nginx, and answers Caddy and Traefik."""

    def __init__(
        self, keeper: AccessControl, answers: DeniedResponses, assertions: AssertionKeys, doctor: DoctorEcho
    ) -> None:
        self._keeper, self._answers, self._assertions, self._doctor = keeper, answers, assertions, doctor
        self._count = {skin: counters.decisions(skin) for skin in (NGINX, FORWARD)}

    def nginx(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer nginx with 200, 401 or 403, or with 503 if the database does not answer.

        A 401 has a Location header if a browser asked for a page.
        """
        return self._reply(NGINX, environ).answer(environ, start_response)

    def forward(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer Caddy and Traefik with the answer that the browser gets, because they pass it on."""
        return self._reply(FORWARD, environ).answer(environ, start_response)

    def nginx_at_once(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes] | None:
        """Answer nginx from memory.

        Returns None if the session is not in the cache. Raises InThread if a thread must do the rest.
        """
        return self._at_once(NGINX, environ, start_response)

    def forward_at_once(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes] | None:
        """Answer Caddy and Traefik from memory, with the same results as `nginx_at_once`."""
        return self._at_once(FORWARD, environ, start_response)

    def _at_once(self, skin: str, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes] | None:
        try:
            reply = self._reply(skin, environ, at_once=True)
        except NotCached:
            return None
        if not reply.is_short:
            raise InThread(reply.answer)
        return reply.answer(environ, start_response)

    def _reply(self, skin: str, environ: WSGIEnvironment, *, at_once: bool = False) -> _Reply:
        """Return the reply to a proxy. With *at_once*, raises NotCached if the session is not in the cache."""
        began = perf_counter_ns()
        try:
            if not self._keeper.peers.include(environ["lychgate.peer"]):
                raise Misreported(f"the peer {environ['lychgate.peer']} is not in SP_TRUSTED_PROXIES")
            asked = self._read(skin, environ)
            access = self._keeper.at(asked.host)
            if access is None:
                return _Reply(partial(self._refuse_host, skin, asked))
            environ[SITE] = access.name
            session = access.session(environ, access.presented(environ), at_once=at_once)
            decision = access.decide(
                environ, asked.method, asked.path, session, asked.host, asked.spellings, asked.query
            )
            self._check_route(asked, decision)
        except Misreported as error:
            return _Reply(partial(self._refuse, skin, error))
        except StoreUnavailable:
            return _Reply(partial(self._answers.turn_away, store_down(), method=asked.method))
        if is_for_echo(decision, asked.path) and (ticket := self._doctor.ticket(environ)) is not None:
            return _Reply(partial(self._echo, access, ticket))
        self._count[skin](decision.verdict, began)
        if decision.verdict is LET_IN:
            key = self._assertions.known_key() if at_once else None
            return _Reply(partial(self._let_in, session, access, asked, key), session is None or key is not None)
        if decision.verdict is Verdict.SIGN_IN:
            return _Reply(partial(self._sign_in, skin, access, asked), is_short=True)
        reason = why(decision.verdict, decision.rule, session)
        if skin == NGINX:
            return _Reply(partial(self._answers.say, status=403, body=str(reason.text)), is_short=True)
        return _Reply(partial(self._answers.turn_away, reason, method=asked.method))

    def _read(self, skin: str, environ: WSGIEnvironment) -> Asked:
        """Return the request that a proxy asks about. Raises Misreported."""
        if skin == FORWARD:
            return read_forward(environ)
        return read_nginx(environ, "" if self._keeper.has_further_sites else self._keeper.host.netloc)

    def _refuse_host(
        self, skin: str, asked: Asked, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Reject a forward-auth request for a foreign host. After the sign-in, the browser would be on another site."""
        own = self._keeper.host
        log.warning(
            "forward-auth (%s) refused: asked about %s, which is not the host of SP_EXTERNAL_URL (%s)",
            skin, asked.host, own.netloc,
        )  # fmt: skip
        reason = foreign_host(asked.host, own, status=403)
        if skin == NGINX:
            return self._answers.say(environ, start_response, 403, str(reason.text))
        return self._answers.turn_away(reason, environ, start_response, asked.method)

    def _let_in(
        self,
        session: Session | None,
        access: SiteAccess,
        asked: Asked,
        key: TokenKey | None,
        environ: WSGIEnvironment,
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        assertion = ""
        if session is not None:
            try:
                assertion = self._assertions.sign(
                    claims_about(session, self._keeper.config.external_url, asked.host), key
                )
            except StoreUnavailable:
                return self._answers.turn_away(store_down(), environ, start_response, asked.method)
        told = [*headers(access.header_set or DEFAULT_SET, session), (ASSERTION, assertion)]
        return self._answers.say(environ, start_response, 200, "", headers=told)

    def _echo(
        self, access: SiteAccess, ticket: Ticket, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer the doctor, which tests how long a header the proxy passes on."""
        told = [*headers(access.header_set or DEFAULT_SET, None), (ASSERTION, "x" * ticket.padding)]
        return self._answers.say(environ, start_response, 200, "", headers=told)

    def _refuse(
        self, skin: str, error: Misreported, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        log.warning("forward-auth (%s) refused: %s", skin, error)
        text = f"The request of the proxy is invalid: {error}."
        return self._answers.say(environ, start_response, 403 if skin == NGINX else 400, text)

    def _sign_in(
        self, skin: str, access: SiteAccess, asked: Asked, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if not is_navigation(environ, asked.method):
            return self._answers.say(environ, start_response, 401, "Sign in first.", headers=[CHALLENGE])
        path = quote_from_bytes(asked.raw_path.encode("latin-1"), safe=AS_BROWSERS_SEND)
        location = ("Location", access.sign_in_url(with_query(path, asked.query)))
        if skin == NGINX:
            return self._answers.say(environ, start_response, 401, "Sign in first.", headers=[location, CHALLENGE])
        status = 303 if asked.method == "POST" else 302
        return self._answers.say(environ, start_response, status, "Sign in first.", headers=[location])

    def _check_route(self, asked: Asked, decision: Decision) -> None:
        """Raise Misreported if a proxy asks about a path below /sso/ instead of passing it on to the gateway.

        It is raised only if the *decision* is to ask for a sign-in. The redirect to the sign-in would lead to the same
        question again, in an endless loop.
        """
        if decision.verdict is Verdict.SIGN_IN and asked.path.startswith(self._keeper.own.at("/sso/")):
            raise Misreported(f"{asked.path} is a path of the gateway itself: the proxy must pass it on without asking")


class _Reply(NamedTuple):
    """The reply to a proxy. If *is_short* is true, the reply needs no database, no page and no line in the log."""

    answer: WSGIApplication
    is_short: bool = False
