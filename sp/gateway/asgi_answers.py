"""Answer an ASGI request with the gateway's WSGI code. Pages run in threads, short denials in the event loop.

If the body of a request is small, a thread starts on the page only after the whole body has arrived, as in
`shared.worker`. So strangers cannot occupy all threads with slow bodies. `sp.gateway.asgi_exchange` limits all other
waits for the client.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from shared.threads import Threads
from sp.gateway.asgi_exchange import Exchange, start_message
from sp.gateway.asgi_threads import from_thread

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from sp.gateway.asgi_exchange import Message, Receive, Send

START_SECONDS = 3.0  # to wait for a free thread, so that an answer comes within 5 (docs/protocol.md)


async def answer_at_once(answer: WSGIApplication, environ: WSGIEnvironment, send: Send) -> None:
    """Send a short *answer* that reads no body and does not wait."""
    start, body = collected(answer, environ)
    await send(start)
    await send({"type": "http.response.body", "body": body})


def collected(answer: WSGIApplication, environ: WSGIEnvironment) -> tuple[Message, bytes]:
    """Return the start message and the body of an *answer*."""
    started: list[Message] = []

    def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Callable[[bytes], object]:
        started.append(start_message(status, headers))
        return lambda _data: None

    body = b"".join(answer(environ, start_response))
    return started[-1], body


class NoThreadFree(Exception):
    """All threads were busy for START_SECONDS. No part of an answer was sent."""


class PageThreads:
    """Runs pages in threads, at most *size* at the same time."""

    def __init__(self, size: int) -> None:
        self._threads = Threads(size)

    async def answer(self, page: WSGIApplication, environ: WSGIEnvironment, receive: Receive, send: Send) -> None:
        """Send the answer of *page* to the request, whose body it can read. Raises NoThreadFree."""
        exchange = Exchange(self._threads, receive, send)
        body = await exchange.read_small_body()
        if body is None:
            return
        full = complete(environ, exchange.input(body), exchange.is_complete, len(body))
        listening = asyncio.ensure_future(exchange.wait_until_closed())
        try:
            await self._run(page, full, exchange)
        finally:
            listening.cancel()

    async def deny(self, page: WSGIApplication, environ: WSGIEnvironment, send: Send) -> None:
        """Send the answer of *page* to the request without reading its body. Raises NoThreadFree."""
        await self._run(page, complete(environ, io.BytesIO(), True, 0), Exchange(self._threads, None, send))

    async def _run(self, page: WSGIApplication, environ: WSGIEnvironment, exchange: Exchange) -> None:
        running = _Running(page, environ, exchange)
        self._threads.submit(running)
        try:
            await running.wait_until_begun()
            await running.ended
        finally:
            exchange.give_up()


def complete(environ: WSGIEnvironment, body: Any, is_whole: bool, length: int) -> WSGIEnvironment:
    """Return *environ* with the body and the other entries that an application needs (PEP 3333)."""
    full = {
        **environ,
        "wsgi.version": (1, 0),
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if is_whole:
        full["CONTENT_LENGTH"] = str(length)
        full.pop("HTTP_TRANSFER_ENCODING", None)
    elif not environ.get("CONTENT_LENGTH"):
        full["HTTP_TRANSFER_ENCODING"] = "chunked"  # HTTP/2 too: shared/request_limits.py then measures the body
    return full


class _Running:
    """A page that runs in a thread. The event loop waits until it begins and ends. Calling the object never raises."""

    def __init__(self, page: WSGIApplication, environ: WSGIEnvironment, exchange: Exchange) -> None:
        self._page, self._environ, self._exchange = page, environ, exchange
        self._loop = asyncio.get_running_loop()
        self._begun: asyncio.Future[None] = self._loop.create_future()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._context = copy_context()  # the ID of the request, for log lines
        self._start: Message | None = None
        self._is_started = False

    async def wait_until_begun(self) -> None:
        """Wait for a free thread. Raises NoThreadFree."""
        try:
            await asyncio.wait_for(self._begun, START_SECONDS)
        except TimeoutError as error:
            raise NoThreadFree from error

    def __call__(self) -> None:
        """Run the page, unless the request has timed out or its client has closed the connection."""
        if self._begun.cancelled() or self._exchange.is_given_up:
            from_thread(self._loop, _done, self.ended, None)
            return
        from_thread(self._loop, _done, self._begun, None)
        try:
            self._context.run(self._answer)
        except BaseException as error:  # the server logs it, and answers 500 if nothing was sent
            from_thread(self._loop, _done, self.ended, None if self._exchange.is_given_up else error)
        else:
            from_thread(self._loop, _done, self.ended, None)

    def _answer(self) -> None:
        body = self._page(self._environ, self._start_response)
        try:
            for piece in body:
                if piece:
                    self._send(piece, more=True)
            self._send(b"", more=False)
        finally:
            if (close := getattr(body, "close", None)) is not None:
                close()

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], error: Any = None, /
    ) -> Callable[[bytes], object]:
        if error and self._is_started:
            raise error[1].with_traceback(error[2])
        self._start = start_message(status, headers)
        return lambda data: self._send(data, more=True)

    def _send(self, data: bytes, *, more: bool) -> None:
        if not self._is_started and self._start is not None:
            self._is_started = True
            self._exchange.send(self._start)
        self._exchange.send({"type": "http.response.body", "body": data, "more_body": more})


def _done(future: asyncio.Future[None], error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
