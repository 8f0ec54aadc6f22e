"""A server and client of ASGI in one: what an application receives is put in, and what it sends is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from sp.gateway import AsgiGateway
from tests.sp.gateway.gate import HOST, Gate
from tests.support.loops import in_a_loop

Message = dict[str, Any]
SECONDS = 20  # a limit for tests that would hang
GOOD = [(b"host", HOST.encode())]


class Exchange:
    """One request or WebSocket. It has to be made within a running event loop."""

    def __init__(self, app: Any, scope: dict[str, Any]) -> None:
        self.coming: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        self.task = asyncio.ensure_future(app(scope, self.coming.get, self.sent.put))

    async def next(self) -> Message:
        """Return the next message that was sent. Raises what the application raises."""
        getting = asyncio.ensure_future(self.sent.get())
        await asyncio.wait({getting, self.task}, timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not getting.done():
            getting.cancel()
            if self.sent.empty():
                self.task.result()
                raise AssertionError("it ended without a further message")
            return self.sent.get_nowait()
        return getting.result()

    def give(self, **message: Any) -> None:
        self.coming.put_nowait(message)

    async def end(self) -> None:
        """Wait until the application has ended."""
        await asyncio.wait_for(self.task, SECONDS)


def scope(kind: str, path: str = "/page", *headers: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
    """Return a scope as uvicorn makes it."""
    made: dict[str, Any] = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "http" if kind == "http" else "ws",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [*GOOD, *headers],
        "client": ("127.0.0.1", 4711),
        "server": ("127.0.0.1", 5000),
        "state": {},
        "extensions": {},
    }
    own: dict[str, Any] = {"method": "GET"} if kind == "http" else {"subprotocols": []}
    return made | own | more


def cookie(secret: str) -> tuple[bytes, bytes]:
    return b"cookie", f"theme=dark; sp_session={secret}".encode()


def origin(url: str = f"http://{HOST}") -> tuple[bytes, bytes]:
    return b"origin", url.encode()


def around(gate: Gate, app: Any, **options: Any) -> AsgiGateway:
    """Return the ASGI gateway with the parts of *gate* in front of *app*."""
    return AsgiGateway(app, gate.gateway.own, **options)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test in an event loop."""
    in_a_loop(asyncio.wait_for(test(), SECONDS))


async def respond(send: Any, text: bytes = b"reached", headers: Any = ()) -> None:
    """Send a whole answer."""
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


class Recorder:
    """An application that notes its scopes, and answers."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "http":
            await respond(send)
        else:
            await send({"type": "websocket.accept", "headers": []})

    @property
    def last(self) -> Mapping[str, Any]:
        return self.scopes[-1]
