"""Answer a request of ASGI with WSGI code of ours: the gateway's own pages, in threads, and short refusals at once.

A thread gets a page when the client has sent a small body completely, as in `shared.worker`. For the rest of a larger
body, and for a client that reads slowly, the thread waits; meanwhile another one works, and the slowest client is
dropped if too many are waited for (`shared.threads`). So strangers cannot occupy all threads.
"""

from __future__ import annotations

import asyncio
import io
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Future
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from shared.connections import GRACE_SECONDS, IDLE_SECONDS, LEAST_RATE, ROOM, SMALL_BODY
from shared.threads import Threads
from sp.gateway.asgi_threads import from_thread

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

START_SECONDS = 3.0  # until a thread must be free; with what follows, an answer comes within 5 (docs/protocol.md)
PATIENCE = 0.05  # seconds that a thread waits for a client before another one works in its place
CLOSED, TOO_SLOW = b"closed", b"too slow"  # in place of a body
NOTHING: Message = {"type": "http.request", "body": b"", "more_body": False}


async def answer_at_once(answer: WSGIApplication, environ: WSGIEnvironment, send: Send) -> None:
    """Send an *answer* that reads no body, waits for nothing and is short."""
    start, body = collected(answer, environ)
    await send(start)
    await send({"type": "http.response.body", "body": body})


def collected(answer: WSGIApplication, environ: WSGIEnvironment) -> tuple[Message, bytes]:
    """Return beginning and body of an *answer*."""
    started: list[Message] = []

    def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Callable[[bytes], object]:
        started.append(start_message(status, headers))
        return lambda _data: None

    body = b"".join(answer(environ, start_response))
    return started[-1], body


def start_message(status: str, headers: Iterable[tuple[str, str]]) -> Message:
    """Return the beginning of an answer as ASGI has it."""
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": int(status[:3]), "headers": raw}


class NoThreadFree(Exception):
    """All threads are busy, and no answer was begun."""


class PageThreads:
    """Answers with pages, at most *size* at the same time."""

    def __init__(self, size: int) -> None:
        self._threads = Threads(size)

    async def answer(self, page: WSGIApplication, environ: WSGIEnvironment, receive: Receive, send: Send) -> None:
        """Send what *page* answers to the request and its body. Raises NoThreadFree."""
        exchange = Exchange(self._threads, receive, send)
        body = await exchange.read_small_body()
        if body in (CLOSED, TOO_SLOW):
            return
        full = complete(environ, exchange.input(body), exchange.is_complete, len(body))
        listening = asyncio.ensure_future(exchange.wait_until_closed())
        try:
            await self._run(page, full, exchange)
        finally:
            listening.cancel()

    async def deny(self, page: WSGIApplication, environ: WSGIEnvironment, send: Send) -> None:
        """Send what *page* answers to a request whose body is not read. Raises NoThreadFree."""
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
    """Return *environ* with what an application needs besides metadata (PEP 3333)."""
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
        full["HTTP_TRANSFER_ENCODING"] = "chunked"  # over HTTP/2 too: shared/request_limits.py measures such a body
    return full


class Exchange:
    """One request and its answer. The client counts as slow while a thread waits for it.

    Without *receive*, its body is not read.
    """

    def __init__(self, threads: Threads, receive: Receive | None, send: Send) -> None:
        self._threads, self._receive, self._send = threads, receive, send
        self._loop = asyncio.get_running_loop()
        self._moved, self._waited = 0, 0.0
        self._wait_began: float | None = None
        self._wait: Future[Any] | None = None
        self.is_given_up = False
        self.is_complete = False

    async def read_small_body(self) -> bytes:
        """Return the body, or the first bytes of one with more than SMALL_BODY; or CLOSED."""
        try:
            async with asyncio.timeout(GRACE_SECONDS + SMALL_BODY / LEAST_RATE):
                return await self._read_small_body()
        except TimeoutError:
            await self._send(start_message("408", [("Content-Length", "0")]))
            await self._send({"type": "http.response.body"})
            return TOO_SLOW

    async def _read_small_body(self) -> bytes:
        body = b""
        while not self.is_complete and len(body) <= SMALL_BODY:
            piece = await self.next_piece()
            if piece is None:
                return CLOSED
            body += piece
        return body

    async def next_piece(self) -> bytes | None:
        """Return the next piece of the body; None if the client has closed the connection."""
        message = await self._receive() if self._receive else NOTHING
        if message["type"] != "http.request":
            self.give_up()
            return None
        self.is_complete = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece

    def input(self, begun: bytes) -> Any:
        """Return the body as a file, of which *begun* has already come."""
        return io.BytesIO(begun) if self.is_complete else io.BufferedReader(_Rest(begun, self))

    async def wait_until_closed(self) -> None:
        """Give up when the client closes the connection. While a body is being read, the reader notices."""
        while not self.is_complete:
            await asyncio.sleep(1)
        if self._receive and (await self._receive())["type"] == "http.disconnect":
            self.give_up()

    def read(self) -> bytes | None:
        """Return the next piece of the body, from a thread. Raises TimeoutError for a client that is too slow."""
        if self.is_complete:
            return b""
        piece: bytes | None = self._in_loop(self.next_piece())
        self._moved += len(piece or b"")
        return piece

    def send(self, message: Message) -> None:
        """Send a part of the answer, from a thread. Raises TimeoutError."""
        self._in_loop(self._send_in_loop(message))
        self._moved += len(message.get("body", b""))

    async def _send_in_loop(self, message: Message) -> None:
        await self._send(message)  # a server may return another awaitable than a coroutine

    def slowness(self) -> float:
        """Return for how many seconds this client has kept a thread waiting for each byte that it moved."""
        began = self._wait_began
        waited = self._waited + (time.monotonic() - began if began is not None else 0.0)
        return waited / (self._moved + ROOM)

    def give_up(self) -> None:
        """Let no thread wait for this client any more. The thread notices at its next piece."""
        self.is_given_up = True
        if (wait := self._wait) is not None:
            wait.cancel()

    def _in_loop(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Return what *work* returns in the event loop. Raises TimeoutError, and ConnectionError after `give_up`."""
        if self.is_given_up:
            work.close()
            raise ConnectionAbortedError("the client has closed the connection")
        self._wait = wait = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return wait.result(PATIENCE)
        except TimeoutError:
            if wait.done():
                raise  # of the work itself
        self._wait_began = began = time.monotonic()
        try:
            with self._threads.waiting_for(self):
                return wait.result(max(0.0, min(IDLE_SECONDS, GRACE_SECONDS + self._moved / LEAST_RATE - self._waited)))
        except TimeoutError:
            wait.cancel()
            raise
        finally:
            self._wait_began, self._waited = None, self._waited + time.monotonic() - began


class _Rest(io.RawIOBase):
    """A body that is still coming."""

    def __init__(self, begun: bytes, exchange: Exchange) -> None:
        self._left, self._exchange = begun, exchange

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._left:
            piece = self._exchange.read()
            if piece is None:
                raise ConnectionAbortedError("the client has closed the connection")
            if not piece and self._exchange.is_complete:
                return 0
            self._left = piece
        taken = self._left[: len(buffer)]
        buffer[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        return len(taken)


class _Running:
    """A page that is answered in a thread, and what the event loop waits for meanwhile. Calling it never raises."""

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
        """Answer, unless the request was given up."""
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
