"""Read an ASGI request and send its answer from a thread, through the event loop. Each wait has a time limit.

If a thread waits longer than PATIENCE for a client, the client counts as slow, and another thread works instead. If too
many threads wait for clients, the slowest client is dropped (`shared.threads`).
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import CancelledError, Future
from typing import Any

from shared.client_socket import GRACE_SECONDS, IDLE_SECONDS, LEAST_RATE, ROOM
from shared.connections import SMALL_BODY
from shared.threads import Threads

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PATIENCE = 0.05  # seconds that a thread waits for a client before another thread works instead
NOTHING: Message = {"type": "http.request", "body": b"", "more_body": False}


def start_message(status: str, headers: Iterable[tuple[str, str]]) -> Message:
    """Return the ASGI message that begins an answer."""
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": int(status[:3]), "headers": raw}


class Exchange:
    """One request and its answer.

    If a thread waits longer than PATIENCE for the client, the client counts as slow. If *receive* is None, the body of
    the request is not read.
    """

    def __init__(self, threads: Threads, receive: Receive | None, send: Send) -> None:
        self._threads, self._receive, self._send = threads, receive, send
        self._loop = asyncio.get_running_loop()
        self._moved, self._waited = 0, 0.0
        self._wait_began: float | None = None
        self._wait: Future[Any] | None = None
        self.is_given_up = False
        self.is_complete = False

    async def read_small_body(self) -> bytes | None:
        """Return the body, or its beginning if it is longer than SMALL_BODY.

        Return None if there is nothing more to do: the client has closed the connection, or was too slow and got 408.
        """
        try:
            async with asyncio.timeout(GRACE_SECONDS + SMALL_BODY / LEAST_RATE):
                return await self._read_small_body()
        except TimeoutError:
            await self._send(start_message("408", [("Content-Length", "0")]))
            await self._send({"type": "http.response.body"})
            return None

    async def _read_small_body(self) -> bytes | None:
        body = b""
        while not self.is_complete and len(body) <= SMALL_BODY:
            piece = await self.next_piece()
            if piece is None:
                return None
            body += piece
        return body

    async def next_piece(self) -> bytes | None:
        """Return the next piece of the body, or None if the client has closed the connection."""
        message = await self._receive() if self._receive else NOTHING
        if message["type"] != "http.request":
            self.give_up()
            return None
        self.is_complete = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece

    def input(self, begun: bytes) -> Any:
        """Return the body as a file. *begun* is the part of the body that has already arrived."""
        return io.BytesIO(begun) if self.is_complete else io.BufferedReader(_Rest(begun, self))

    async def wait_until_closed(self) -> None:
        """Wait until the client closes the connection, and then call `give_up`.

        While the body is still arriving, this only waits, because the thread that reads the body notices that the
        connection is closed.
        """
        while not self.is_complete:
            await asyncio.sleep(1)
        if self._receive and (await self._receive())["type"] == "http.disconnect":
            self.give_up()

    def read(self) -> bytes | None:
        """Return the next piece of the body. Call this in a thread. Raises TimeoutError if the client is too slow."""
        if self.is_complete:
            return b""
        piece: bytes | None = self._in_loop(self.next_piece())
        self._moved += len(piece or b"")
        return piece

    def send(self, message: Message) -> None:
        """Send a part of the answer. Call this in a thread. Raises TimeoutError if the client is too slow."""
        self._in_loop(self._send_in_loop(message))
        self._moved += len(message.get("body", b""))

    async def _send_in_loop(self, message: Message) -> None:
        await self._send(message)  # a server may return an awaitable that is not a coroutine

    def slowness(self) -> float:
        """Return how many seconds a thread has waited for this client, for each byte that was read or sent.

        ROOM is added to the number of bytes.
        """
        began = self._wait_began
        waited = self._waited + (time.monotonic() - began if began is not None else 0.0)
        return waited / (self._moved + ROOM)

    def give_up(self) -> None:
        """Stop waiting for this client. The thread notices at its next piece."""
        self.is_given_up = True
        if (wait := self._wait) is not None:
            wait.cancel()

    def _in_loop(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run *work* in the event loop, and return its result.

        Raises TimeoutError if the client is too slow, and ConnectionError after `give_up`.
        """
        if self.is_given_up:
            work.close()
            raise closed()
        self._wait = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return self._result_of(self._wait)
        except CancelledError:  # by `give_up`, while this thread waited
            raise closed() from None

    def _result_of(self, wait: Future[Any]) -> Any:
        try:
            return wait.result(PATIENCE)
        except TimeoutError:
            if wait.done():
                return wait.result()  # it has just ended, or the error is of the work itself
        self._wait_began = began = time.monotonic()
        try:
            with self._threads.waiting_for(self):
                return wait.result(max(0.0, min(IDLE_SECONDS, GRACE_SECONDS + self._moved / LEAST_RATE - self._waited)))
        except TimeoutError:
            wait.cancel()
            raise
        finally:
            self._wait_began, self._waited = None, self._waited + time.monotonic() - began


def closed() -> ConnectionAbortedError:
    """Return the error for a client that has closed the connection."""
    return ConnectionAbortedError("the client has closed the connection")


class _Rest(io.RawIOBase):
    """A body whose end has not arrived yet."""

    def __init__(self, begun: bytes, exchange: Exchange) -> None:
        self._left, self._exchange = begun, exchange

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._left:
            piece = self._exchange.read()
            if piece is None:
                raise closed()
            if not piece and self._exchange.is_complete:
                return 0
            self._left = piece
        taken = self._left[: len(buffer)]
        buffer[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        return len(taken)
