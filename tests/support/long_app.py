"""An application behind a proxy that answers WebSockets, counts uploads as they come, and tells what was upgraded."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
FRAME_BYTES = 125  # the largest frame whose length takes one byte


class LongApp(ThreadingHTTPServer):
    """Listens on a free port. `began` is set when the first bytes of an upload have arrived."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.began = Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LongApp

    def do_GET(self) -> None:
        """Echo the frames of a WebSocket; to others, tell what they asked to be upgraded to."""
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self._echo()
        else:
            told = {name: self.headers.get(name) for name in ("Upgrade", "Connection", "HTTP2-Settings", "Remote-User")}
            self._answer(json.dumps(told))

    def do_POST(self) -> None:
        """Count the body."""
        self.connection.settimeout(30)
        length, count = int(self.headers["Content-Length"]), 0
        while count < length:
            count += len(self.rfile.read1(min(65_536, length - count)))
            self.server.began.set()
        self._answer(str(count))

    def log_message(self, *_args: object) -> None:
        """Log no request."""

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def _echo(self) -> None:
        key = self.headers["Sec-WebSocket-Key"].encode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key + ACCEPT).digest()).decode())  # noqa: S324
        self.end_headers()
        self.close_connection = True
        while head := self.rfile.read(2):
            mask, length = self.rfile.read(4), head[1] & 0x7F
            text = bytes(byte ^ mask[place % 4] for place, byte in enumerate(self.rfile.read(length)))
            self.wfile.write(head[:1] + bytes([length]) + text)


@contextmanager
def long_app() -> Iterator[LongApp]:
    """Run it until the end of the `with`."""
    with LongApp() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
