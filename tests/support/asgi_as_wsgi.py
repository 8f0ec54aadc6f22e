"""Put WSGI applications behind the ASGI gateway, and ask that as if it were WSGI: one test for both ways in.

A request becomes the scope that uvicorn would make of it: the path decoded once, and as it was spelled beside it. The
application gets what it would find in that scope, under the names of WSGI.
"""

import asyncio
import io
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote_from_bytes

from sp.gateway import AsgiGateway
from tests.support.loops import in_a_loop

Message = dict[str, Any]
IN_PATH = "/:@!$&'()*+,;=~-._"
FORGED_KEYS = ("sso.", "lychgate.")


class AsgiAsWsgi:
    """A gateway for ASGI in front of WSGI applications; it is called as a WSGI application."""

    def __init__(self, app: Any, own: Any, sites: dict[str, Any], **options: Any) -> None:
        asgi_sites = {name: as_asgi(site) for name, site in sites.items()}
        self.gateway = AsgiGateway(as_asgi(app), own, sites=asgi_sites, **options)
        self.own = own

    @property
    def app(self) -> Any:
        return self.gateway.app

    @app.setter
    def app(self, app: Any) -> None:
        self.gateway.app = as_asgi(app)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if "wsgi.input" in environ else b""
        status, headers, sent = ask_asgi(self.gateway, scope_of(environ), body)
        names = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        start_response(f"{status} As it is", names)
        return [sent]


def ask_asgi(app: Any, scope: dict[str, Any], body: bytes = b"") -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Ask an ASGI application once; return status, headers and body of its answer."""
    sent: list[Message] = []
    coming: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return coming.pop() if coming else await asyncio.Event().wait()  # type: ignore[return-value]  # for ever

    async def send(message: Message) -> None:
        await asyncio.sleep(0)
        sent.append(message)

    in_a_loop(app(scope, receive, send))
    starts = [message for message in sent if message["type"] == "http.response.start"]
    assert len(starts) == 1, sent
    body = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    assert not sent[-1].get("more_body", False)
    return starts[0]["status"], list(starts[0].get("headers", ())), body


def scope_of(environ: dict[str, Any], kind: str = "http") -> dict[str, Any]:
    """Return the scope of a request. Keys by which an identity could be forged are in it."""
    mount, path = (environ.get(key, "").encode("latin-1") for key in ("SCRIPT_NAME", "PATH_INFO"))
    headers = [(name_of(key), str(value).encode("latin-1")) for key, value in environ.items() if is_header(key, value)]
    told = [environ[key] for key in ("RAW_URI", "REQUEST_URI") if key in environ]
    others = [raw for raw in told if raw != environ["PATH_INFO"]]
    raw = (others or told or [quote_from_bytes(mount + path, safe=IN_PATH)])[0]
    return {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": environ["REQUEST_METHOD"],
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "path": (mount + path).decode("utf-8", "replace"),
        "raw_path": raw.encode("latin-1"),
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "root_path": mount.decode("utf-8", "replace"),
        "headers": headers,
        "client": (environ["REMOTE_ADDR"], 4711) if environ.get("REMOTE_ADDR") else None,
        "server": ("127.0.0.1", 5000),
        "extensions": {},
        **{key: value for key, value in environ.items() if key.startswith(FORGED_KEYS)},
    }


def is_header(key: str, value: object) -> bool:
    return key.startswith("HTTP_") or (key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value != "")


def name_of(key: str) -> bytes:
    return key.removeprefix("HTTP_").replace("_", "-").lower().encode("latin-1")


def as_asgi(app: Any) -> Any:
    """Return a WSGI application as an ASGI one."""

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        pieces: list[bytes] = []
        started: list[Message] = []

        def start_response(status: str, headers: Any, _error: Any = None) -> Callable[[bytes], None]:
            raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            started.append({"type": "http.response.start", "status": int(status[:3]), "headers": raw})
            return pieces.append

        answer = app(environ_seen_in(scope, body), start_response)
        try:
            pieces += answer
        finally:
            if hasattr(answer, "close"):
                answer.close()
        await send(started[-1])
        await send({"type": "http.response.body", "body": b"".join(pieces)})

    return application


def environ_seen_in(scope: dict[str, Any], body: bytes) -> dict[str, Any]:
    """Return what an application finds in its scope, under the names of WSGI."""
    mount, path = scope["root_path"], scope["path"]
    below = path[len(mount) :] if mount and path.startswith(f"{mount}/") else path
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": mount.encode().decode("latin-1"),
        "PATH_INFO": below.encode().decode("latin-1"),
        "RAW_URI": scope["raw_path"].decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": scope["server"][0],
        "SERVER_PORT": str(scope["server"][1]),
        "REMOTE_ADDR": scope["client"][0] if scope["client"] else "",
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(body),
    }
    for name, value in scope["headers"]:
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value.decode('latin-1')}" if key in environ else value.decode("latin-1")
    environ |= {key: value for key, value in scope.items() if key.startswith(FORGED_KEYS)}
    if (user := environ.pop("lychgate.user")) is not None:
        email = user["email"].encode().decode("latin-1")
        environ |= {"sso.user": user, "REMOTE_USER": email, "AUTH_TYPE": "jwt-sso"}
    return environ
