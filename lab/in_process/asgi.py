"""Call an ASGI application (FastAPI, Starlette) as WSGI, for tests: HTTP and lifespan, no WebSockets.

The application's event loop runs in a thread until `close`, so objects that belong to the loop stay usable between
requests. An answer is collected before it is sent. The person is in `scope["lychgate.user"]`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Message = dict[str, Any]
Asgi = Callable[[dict[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any]
log = logging.getLogger("lychgate.lab")
ANSWER_SECONDS = 30  # for one answer of the application
VERSION = {"version": "3.0", "spec_version": "2.3"}


@dataclass
class _Answer:
    status: int = 500
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)


class AsgiApplication:
    """A WSGI application that calls *application*. Raises the exceptions of its startup."""

    def __init__(self, application: Asgi) -> None:
        self._application = application
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="asgi", daemon=True)
        self._thread.start()
        self._state: dict[str, Any] = {}
        self._lifespan = _Lifespan(application, self._state)
        try:
            self._run(self._lifespan.start())
        except BaseException:
            self._end_loop()
            raise

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        length, is_chunked = environ.get("CONTENT_LENGTH"), environ.get("wsgi.input_terminated")
        body = environ["wsgi.input"].read(*([int(length)] if length else [])) if length or is_chunked else b""
        answer = self._run(self._ask(scope_of(environ, dict(self._state)), body))
        phrase = HTTPStatus(answer.status).phrase if answer.status in set(HTTPStatus) else ""
        start_response(f"{answer.status} {phrase}", answer.headers)
        return [bytes(answer.body)]

    def close(self) -> None:
        """Let the application shut down, and end its loop."""
        if self._loop.is_closed():
            return
        self._run(self._lifespan.stop())
        self._end_loop()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _ask(self, scope: dict[str, Any], body: bytes) -> _Answer:
        answer = _Answer()
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return messages.pop() if messages else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                pairs = message.get("headers", ())
                answer.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs]
            else:
                answer.body += message.get("body", b"")

        await self._application(scope, receive, send)
        return answer

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(ANSWER_SECONDS)


def scope_of(environ: WSGIEnvironment, state: dict[str, Any]) -> dict[str, Any]:
    """Return the ASGI 3 scope of a request. The person in it comes only from the gateway, which cleaned *environ*."""
    path = environ.get("PATH_INFO", "").encode("latin-1")
    names = {name: name[5:] for name in environ if name.startswith("HTTP_")}
    names |= {name: name for name in ("CONTENT_TYPE", "CONTENT_LENGTH") if environ.get(name)}
    headers = [
        (name.replace("_", "-").lower().encode("latin-1"), str(environ[key]).encode("latin-1"))
        for key, name in names.items()
    ]
    return {
        "type": "http",
        "asgi": VERSION,
        "http_version": "1.1",
        "method": environ["REQUEST_METHOD"],
        "scheme": environ["wsgi.url_scheme"],
        "path": path.decode("utf-8", "replace"),
        "raw_path": environ.get("RAW_URI", "").partition("?")[0].encode("latin-1") or path,
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "root_path": environ.get("SCRIPT_NAME", ""),
        "headers": headers,
        "server": (environ["SERVER_NAME"], int(environ["SERVER_PORT"])),
        "client": (environ.get("REMOTE_ADDR", ""), int(environ.get("REMOTE_PORT", 0) or 0)),
        "state": state,
        "lychgate.user": environ.get("sso.user"),
    }


class _Lifespan:
    """The startup and shutdown of the application. An application may have none.

    Such an application raises an exception or returns when it gets the lifespan scope, which is allowed.
    """

    def __init__(self, application: Asgi, state: dict[str, Any]) -> None:
        self._application, self._scope = application, {"type": "lifespan", "asgi": VERSION, "state": state}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._asked: asyncio.Queue[Message] = asyncio.Queue()
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._task = asyncio.ensure_future(self._serve())
        await self._tell("startup")

    async def stop(self) -> None:
        if self._task is not None and not self._task.done():
            await self._tell("shutdown")
            await self._task

    async def _serve(self) -> None:
        try:
            await self._application(self._scope, self._asked.get, self._said.put)
        except Exception as error:  # an application without a lifespan raises an exception here
            log.debug("the application has no lifespan: %r", error)
        await self._said.put({"type": "lifespan.unsupported"})  # so that the waiting task continues

    async def _tell(self, event: str) -> None:
        await self._asked.put({"type": f"lifespan.{event}"})
        said = await self._said.get()
        if said["type"] == f"lifespan.{event}.failed":
            raise RuntimeError(f"the {event} of the application failed: {said.get('message', '')}")
