"""ASGI middleware: protect FastAPI, Starlette, Quart, Django's ASGI or any other ASGI application.

    from sp.gateway import AsgiGateway
    application = AsgiGateway(application)

It decides by the same code as the WSGI middleware (`sp.gateway.in_process`). The identity of the person is in
`scope["lychgate.user"]`, which only the gateway can set. It is None for a visitor without a session on a public path.
The application handles `lifespan`. Bodies, events and extensions pass through unchanged in both directions. From the
headers of a response, the middleware removes cookies that have the name of a gateway cookie, and replaces the ID of the
request. With *sign_in_on_401*, a 401 is replaced by a redirect to the sign-in if a visitor without a session asked for
a page.

The event loop never waits for the database. If a session is in the cache, it is used at once. If it is not, a thread
reads it from the database. The gateway's own pages are WSGI applications, and run in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from shared import request_ids
from shared.errors import StoreUnavailable
from sp.gateway.application import why_not_asgi
from sp.gateway.asgi_answers import NoThreadFree, PageThreads, answer_at_once
from sp.gateway.asgi_lifespan import Lifespans
from sp.gateway.asgi_messages import instead_of_401, of_application, with_request_id
from sp.gateway.asgi_scope import (
    HTTP,
    WEBSOCKET,
    HeadersTooLarge,
    Written,
    environ_of,
    scope_for_application,
    tell_of_proxy,
)
from sp.gateway.asgi_sockets import ANSWER_SECONDS, WatchedSocket, reject
from sp.gateway.asgi_threads import LoopThreads
from sp.gateway.in_process import InProcess
from sp.metrics_counters import ASGI
from sp.policy.decision import Verdict
from sp.request.identity_headers import HEADER_SETS
from sp.request.kind import is_navigation
from sp.routes import HOME
from sp.sessions.cache import NotCached

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment
    from flask import Flask

    from sp.gateway.access import Presented, SiteAccess
    from sp.gateway.asgi_exchange import Receive, Send
    from sp.gateway.asgi_scope import Scope
    from sp.gateway.destinations import Destination
    from sp.sessions.store import Session

    LetIn = tuple["AsgiApplication", SiteAccess, Presented, Session | None]  # a NamedTuple would be slower to create

LOOK_UPS, PAGES = 8, 16  # threads of each worker: for reading sessions, and for the gateway's own pages
CHECKS = 2  # further threads, only for open WebSockets, so that many requests cannot delay the checks of sockets
STORE_SECONDS = 3.0  # to read a session that is not cached; the error page must come within 5 (docs/protocol.md)

_PROTECTED = (HTTP, WEBSOCKET)
AsgiApplication = Callable[[Any, Any, Any], Awaitable[None]]  # scope, receive, send; each framework has its own types


class AsgiGateway:
    """Wraps *app*. Settings come from the environment unless a ready gateway application, *own*, is given.

    *sign_in_on_401* and *sites* have the same meaning as for `sp.gateway.Gateway`. The middleware runs on asyncio, in
    servers such as uvicorn, hypercorn and granian.
    """

    def __init__(
        self,
        app: AsgiApplication,
        own: Flask | None = None,
        *,
        sign_in_on_401: bool | None = None,
        sites: Mapping[str, AsgiApplication] | None = None,
    ) -> None:
        from sp.app import create_app

        self.app = app
        self._of_sites = dict(sites or {})
        for application in (app, *self._of_sites.values()):
            if (reason := why_not_asgi(application)) is not None:
                raise TypeError(f"AsgiGateway protects an ASGI application, and {application!r} is none: {reason}")
        self.own = own or create_app()
        self._steps = InProcess(self.own, ASGI, sign_in_on_401=sign_in_on_401)
        self._peers = self._steps.keeper.peers
        core = self.own.extensions["lychgate"]
        self._sessions, self._cache_seconds = core.sessions, core.config.session_cache
        self._look_ups, self._checks = LoopThreads(LOOK_UPS), LoopThreads(CHECKS)
        self._pages = PageThreads(PAGES)
        self._written = {name: Written(names) for name, names in {"": (), **HEADER_SETS}.items()}
        self._lifespans = Lifespans(self.app, self._of_sites)

    def reload(self) -> None:
        """Read the file of SP_CONFIG again, in a thread, and return at once.

        If the file, or what it refers to, has changed, it is put in force.
        """
        self._steps.reload()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide about a request. Then pass it to the application or to the gateway's own pages, or deny it."""
        kind = scope["type"]
        if kind in _PROTECTED:
            try:
                environ = environ_of(scope)
            except HeadersTooLarge:
                return await self._refuse_headers(scope, send)
            await (self._http if kind == HTTP else self._websocket)(environ, scope, receive, send)
        elif kind == "lifespan":
            await self._lifespans.run(scope, receive, send)
        else:
            raise ValueError(f"the gateway does not know the protocol {kind!r}, so it cannot protect it")

    async def _refuse_headers(self, scope: Scope, send: Send) -> None:
        """Reject a request whose headers are too large."""
        environ = environ_of({**scope, "headers": ()})
        request_ids.assign(environ, False)
        send, answer = with_request_id(send, environ[request_ids.IN_ENVIRON]), self._steps.headers_too_large
        if scope["type"] == HTTP:
            await answer_at_once(answer, environ, send)
        else:
            await reject(answer, environ, scope, send)

    async def _http(self, environ: WSGIEnvironment, scope: Scope, receive: Receive, send: Send) -> None:
        steps = self._steps
        judged = self._judge_at_once(environ)
        if isinstance(judged, _Unknown):
            judged = await self._judge(judged, environ)
        request_id = environ[request_ids.IN_ENVIRON]
        if isinstance(judged, _Denied):
            send = with_request_id(send, request_id)
            if judged.is_short:
                return await answer_at_once(judged.answer, environ, send)
            return await self._show(judged, environ, receive, send)
        app, access, presented, session = judged
        if steps.sign_in_on_401 and session is None and is_navigation(environ, environ["REQUEST_METHOD"]):
            send = instead_of_401(send, partial(steps.ask_to_sign_in, access), environ)
        inner = self._inner(scope, environ, access, presented, session)
        return await app(inner, receive, of_application(send, request_id))

    async def _websocket(self, environ: WSGIEnvironment, scope: Scope, receive: Receive, send: Send) -> None:
        judged = self._judge_at_once(environ)
        if isinstance(judged, _Unknown):
            judged = await self._judge(judged, environ)
        request_id = environ[request_ids.IN_ENVIRON]
        if isinstance(judged, _Denied):  # without a short answer it is a page, and no page can answer a WebSocket
            answer = judged.answer if judged.is_short else None
            return await reject(answer, environ, scope, with_request_id(send, request_id))
        app, access, presented, session = judged
        inner, send = self._inner(scope, environ, access, presented, session), of_application(send, request_id)
        socket = WatchedSocket(receive, send, session, self._cache_seconds)
        watcher = asyncio.ensure_future(
            socket.watch(partial(self._look_up_again, session), partial(self._may_stay, environ, access))
        )
        try:
            return await app(inner, socket.receive, socket.send)
        finally:
            await socket.stop(watcher)

    async def _show(self, denied: _Denied, environ: WSGIEnvironment, receive: Receive, send: Send) -> None:
        try:
            if denied.is_page:
                await self._pages.answer(denied.answer, environ, receive, send)
            else:
                await self._pages.deny(denied.answer, environ, send)
        except NoThreadFree:
            await answer_at_once(self._steps.busy, environ, send)

    def _judge_at_once(self, environ: WSGIEnvironment) -> LetIn | _Denied | _Unknown:
        """Return the decision about a request, or _Unknown if its session must first be read from the database."""
        steps = self._steps
        destination = steps.arrive(environ)
        if destination is None:
            return _denied(steps.foreign_host, environ)
        if destination.own is not None:
            return _Denied(destination.own, is_short=False, is_page=True)
        access, began = destination.access, perf_counter_ns()
        presented = access.presented(environ)
        try:
            session = access.session(environ, presented, at_once=True)
        except NotCached:
            return _Unknown(destination, presented, began)
        return self._decide(environ, destination, presented, session, began)

    async def _judge(self, unknown: _Unknown, environ: WSGIEnvironment) -> LetIn | _Denied:
        """Return the decision about a request, after a thread has read its session from the database."""
        destination, presented, began = unknown
        try:
            look_up = partial(destination.access.session, environ, presented)
            session = await self._look_ups.run(look_up, STORE_SECONDS)
        except StoreUnavailable:
            return _denied(self._steps.store_down, environ)
        return self._decide(environ, destination, presented, session, began)

    def _decide(
        self,
        environ: WSGIEnvironment,
        destination: Destination,
        presented: Presented,
        session: Session | None,
        began: int,
    ) -> LetIn | _Denied:
        steps, access = self._steps, destination.access
        decision = steps.decide(environ, destination, session)
        steps.count(decision.verdict, began)
        if (answer := steps.instead(decision, environ, destination, session)) is not None:
            return _Denied(answer, is_short=True) if decision.verdict is Verdict.SIGN_IN else _denied(answer, environ)
        app = self.app if access.name == HOME else self._of_sites.get(access.name)
        if app is None:
            return _denied(steps.no_application, environ)
        return app, access, presented, session

    def _inner(
        self,
        scope: Scope,
        environ: WSGIEnvironment,
        access: SiteAccess,
        presented: Presented,
        session: Session | None,
    ) -> Scope:
        """Return the scope for the application."""
        self._steps.hand_over(environ, access, presented, session)
        inner = scope_for_application(scope, environ, self._written[access.header_set])
        if self._peers.include(environ["lychgate.peer"]):
            tell_of_proxy(inner, environ)
        if self._of_sites:
            self._lifespans.give_state(inner, access.name)
        return inner

    async def _look_up_again(self, session: Session | None, is_use: bool) -> Session | None:
        """Return the session of an open WebSocket, or None if it has ended. Raises StoreUnavailable."""
        if session is None:
            return None
        look_up = partial(self._sessions.find_by_hash, session.id_hash, session.kind, is_use=is_use)
        return await self._checks.run(look_up, ANSWER_SECONDS)

    def _may_stay(self, environ: WSGIEnvironment, opened: SiteAccess, session: Session | None) -> bool:
        """Tell whether a WebSocket that was opened with *environ* would be allowed now.

        The rules, or the person's groups, may have changed since it was opened.
        """
        destination = self._steps.destination(environ)
        if session is None and destination is not None and destination.access is opened:
            return True  # a visitor has no session that could end
        return destination is not None and self._steps.decide(environ, destination, session).verdict is Verdict.LET_IN


class _Unknown(NamedTuple):
    """A request whose session must be read from the database before the decision."""

    destination: Destination
    presented: Presented
    began: int


class _Denied(NamedTuple):
    """A request that does not reach the application, because *answer* answers it.

    *is_short* is true if the answer is a few bytes and needs no thread. *is_page* is true if the URL is one of the
    gateway's own.
    """

    answer: WSGIApplication
    is_short: bool
    is_page: bool = False


def _denied(answer: WSGIApplication, environ: WSGIEnvironment) -> _Denied:
    """Return a denial with *answer*. It needs a thread if it is a page for a person, but not if it is JSON."""
    return _Denied(answer, is_short=not is_navigation(environ, environ["REQUEST_METHOD"]))
