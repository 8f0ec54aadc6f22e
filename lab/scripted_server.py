"""A real HTTP server on loopback whose answers a test decides, even invalid ones."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Handler = BaseHTTPRequestHandler
Script = Callable[[Handler], None]


class ScriptedServer:
    """Answers every request by `script`, and records the requested paths."""

    def __init__(self, script: Script, port: int, scheme: str) -> None:
        self.script, self.port, self.scheme = script, port, scheme
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/keys"


def answer(body: bytes | str, status: int = 200, **headers: str) -> Script:
    """Return a script that answers with *body*; in names of headers, _ stands for -."""
    octets = body.encode() if isinstance(body, str) else body

    def script(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(octets)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(octets)

    return script


@contextmanager
def scripted_server(script: Script, certificate: Path | None = None) -> Iterator[ScriptedServer]:
    """Run a server on a free port; with a *certificate* (and its key, in one PEM file) over https."""

    class Scripted(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if self.raw_requestline and self.parse_request():
                running.requests.append(self.path)
                running.script(self)
            self.close_connection = True

        def log_message(self, *_args: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_args: object) -> None:
            pass  # in several tests, a client closes the connection early

    server = Quiet(("127.0.0.1", 0), Scripted)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    running = ScriptedServer(script, server.server_address[1], "https" if certificate else "http")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
