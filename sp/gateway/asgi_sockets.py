"""Reject WebSockets before they are accepted, and close open ones when their session ends or the rules forbid them.

After a socket is open, there are no further requests at which the session could be checked. So each socket has a
watcher task. It reads the session again whenever the cached session expires, as the gateway does for ordinary requests.
While the watcher waits, it uses no thread. If the database does not answer, the socket is closed too, and the page may
connect again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from shared.errors import StoreUnavailable
from sp.gateway.asgi_answers import collected

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from sp.gateway.asgi_exchange import Message, Receive, Send
    from sp.sessions.store import Session

SESSION_ENDED = 4401  # close code: 4000 to 4999 are for applications (RFC 6455, 7.4.2); this one stands for HTTP 401
NOT_ALLOWED = 1008  # policy violation
TRY_AGAIN = 1013  # registered with IANA; the database does not answer
SHORTEST = 0.3  # seconds between two checks if sessions are not cached
MOMENT = 0.05  # least seconds to the next check, even if the cached session expires earlier
CLOSING_SECONDS = 5  # time for the server to close the socket after the application ended
ANSWER_SECONDS = 0.6  # time for a check, so that a socket is closed within SP_SESSION_CACHE + 1 seconds

log = logging.getLogger("lychgate")

LookUp = Callable[[bool], Awaitable["Session | None"]]
"""Reads the session of a socket again. The argument tells whether the client has used the socket meanwhile."""


async def reject(answer: WSGIApplication | None, environ: WSGIEnvironment, scope: Any, send: Send) -> None:
    """Close a WebSocket before it is accepted.

    If there is an *answer*, and the server supports the extension "websocket.http.response", the server sends *answer*.
    Otherwise it sends a bare 403. A client without a session gets 403 and not 401, because browsers ignore a challenge
    in a WebSocket handshake.
    """
    if answer is None or "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": NOT_ALLOWED})
        return
    start, body = collected(answer, environ)
    status = 403 if start["status"] == 401 else start["status"]
    headers = [line for line in start["headers"] if line[0] != b"www-authenticate"]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


class WatchedSocket:
    """A WebSocket, with `receive` and `send` for the application. *cache* is SP_SESSION_CACHE, in seconds.

    If *session* is None, the socket belongs to a visitor, and only the rules decide about it.
    """

    def __init__(self, receive: Receive, send: Send, session: Session | None, cache: int) -> None:
        self._receive, self._send, self._session = receive, send, session
        self._pause = max(cache, SHORTEST)
        self._is_used = False
        self._closed_with = 0
        self._is_closed = asyncio.Event()
        self._pending: asyncio.Future[Message] | None = None

    async def receive(self) -> Message:
        """Return the next message of the client, or a disconnect message after the gateway has closed the socket."""
        self._pending = pending = asyncio.ensure_future(self._receive_in_task())
        try:
            message = await pending
        except asyncio.CancelledError:
            if not (self._closed_with and pending.cancelled()) or is_cancelled():
                raise
        if self._closed_with:
            await self._is_closed.wait()
            return {"type": "websocket.disconnect", "code": self._closed_with}
        if message["type"] == "websocket.receive":
            self._is_used = True
        return message

    async def _receive_in_task(self) -> Message:
        return await self._receive()

    async def send(self, message: Message) -> None:
        """Send a message of the application.

        Raises OSError after the gateway has closed the socket, as servers do (ASGI, version 2.4).
        """
        if self._closed_with:
            raise ConnectionAbortedError("the gateway has closed this WebSocket")
        await self._send(message)

    async def watch(self, look_up: LookUp, may_stay: Callable[[Session | None], bool]) -> None:
        """Close the socket when its session has ended, or *may_stay* returns False.

        Both are checked after each pause of `_seconds_until_next`. If the session cannot be checked, the socket is
        closed too.
        """
        try:
            code, reason = await self._end_of_stay(look_up, may_stay)
        except StoreUnavailable:
            code, reason = TRY_AGAIN, "the database does not answer"
        except Exception:
            log.exception("a WebSocket is closed, because its session cannot be checked")
            code, reason = TRY_AGAIN, "the session cannot be checked"
        self._closed_with = code
        if self._pending is not None:
            self._pending.cancel()  # granian does not send while it waits for a message of the client
        try:
            with suppress(OSError, RuntimeError):  # the client may have just closed it
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
        finally:
            self._is_closed.set()

    async def stop(self, watcher: asyncio.Task[None]) -> None:
        """End the *watcher* of this socket. If the watcher is closing the socket, let it finish."""
        if not self._closed_with:
            watcher.cancel()
        await asyncio.wait({watcher}, timeout=CLOSING_SECONDS)

    async def _end_of_stay(self, look_up: LookUp, may_stay: Callable[[Session | None], bool]) -> tuple[int, str]:
        """Wait until the socket must be closed, and return the close code and the reason. Raises StoreUnavailable."""
        while True:
            await asyncio.sleep(self._seconds_until_next())
            if self._session is not None:
                is_used, self._is_used = self._is_used, False
                self._session = await look_up(is_used)
                if self._session is None:
                    return SESSION_ENDED, "the session has ended"
            if not may_stay(self._session):
                return NOT_ALLOWED, "access denied"

    def _seconds_until_next(self) -> float:
        """Return the seconds until the cached session expires, but at least MOMENT.

        If there is no session, or the cached session has already expired, return SP_SESSION_CACHE, but at least
        SHORTEST.
        """
        believed = self._session.good_until - time.monotonic() if self._session is not None else 0.0
        return max(believed, MOMENT) if believed > 0 else self._pause


def is_cancelled() -> bool:
    """Tell whether the current task is being cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
