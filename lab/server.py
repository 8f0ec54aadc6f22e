"""Run a WSGI application on loopback, in a thread of this process or until Ctrl-C.

It uses Werkzeug's development server, which starts in a few milliseconds. This is only for tests.
"""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.02  # how long `stop` may wait for the thread


class ServerThread:
    """Serves *app* on 127.0.0.1 from `start` to `stop`, or in a `with` block. Port 0 means any free port.

    The constructor opens the port, so `url` can be used before `start`.
    """

    def __init__(self, app: WSGIApplication, port: int = 0) -> None:
        self._server = _listen(app, LOOPBACK, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True)

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return self._server.server_port

    @property
    def url(self) -> str:
        """Its origin, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Finish, and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Served:
    """Base class of a server for tests, which a ServerThread (`_server`) runs.

    It runs from `start` to `stop`, or in a `with` block.
    """

    _server: ServerThread

    def start(self) -> Self:
        """Begin to answer."""
        self._server.start()
        return self

    def stop(self) -> None:
        """Finish, and free the port."""
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve_until_interrupted(app: WSGIApplication, host: str, port: int, banner: str) -> None:
    """Print *banner*, in which {url} is filled in, and answer requests until Ctrl-C."""
    server = _listen(app, host, port)
    shown = f"[{host}]" if ":" in host else host
    print(banner.format(url=f"http://{shown}:{server.server_port}"), file=sys.stderr, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


def _listen(app: WSGIApplication, host: str, port: int) -> BaseWSGIServer:
    return make_server(host, port, app, threaded=True, request_handler=_Quiet)


class _Quiet(WSGIRequestHandler):
    """Prints no line for each request, because URLs may contain tokens."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass
