"""Let the application answer plain requests, in a thread or at once in the event loop.

An answer from the event loop is short and complete. The loop sends as much of the answer as the client accepts without
waiting. If bytes are left, a thread sends them. `shared.worker` decides whether the loop or a thread answers a request.
"""

from __future__ import annotations

import errno
import io
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gunicorn.http.wsgi import FileWrapper, _make_early_hints_callback, base_environ

from shared import request_ids
from shared.access_log import LoopLog, atoms_of
from shared.plain_responses import Headers, PlainResponse, head_of, length_if_ordinary
from shared.threads import TAKE_YOUR_TIME, InThread

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from shared.connections import Connection
    from shared.plain_requests import PlainRequest
    from shared.worker import Worker

LOST = {errno.ECONNRESET, errno.ENOTCONN, errno.EPIPE}

AtOnce = Callable[["WSGIEnvironment", "StartResponse"], Iterable[bytes] | None]


class PlainAnswers:
    """Answers the plain requests of one worker."""

    def __init__(self, worker: Worker, application: WSGIApplication) -> None:
        self._worker, self._cfg, self._application = worker, worker.cfg, application
        self._at_once: AtOnce | None = getattr(application, "answer_at_once", None)
        self.collects: Callable[[str], bool] | None = getattr(application, "collects_body", None)
        self._common = {**base_environ(worker.cfg), "wsgi.multithread": True, "wsgi.url_scheme": "http"}
        self._common["SCRIPT_NAME"] = ""
        self._lines = LoopLog()
        self.write_log = self._lines.write

    @property
    def may_answer_at_once(self) -> bool:
        """Whether the event loop may answer.

        It may if the application has `answer_at_once`, the access log is open (`LoopLog.is_open`), and the worker is
        not stopping.
        """
        return self._at_once is not None and self._lines.is_open and self._worker.alive

    def in_thread(self, conn: Connection, request: PlainRequest) -> bool:
        """Answer *request*, and tell whether the connection is kept.

        If the application raises an exception before its answer begins, this method raises it too.
        """
        application = self._application
        if conn.decided is None:
            environ = self._environ(conn, request)
        else:
            environ, application = conn.decided
            request_ids.resume(environ)
        return self._answer(conn, request, environ, application)

    def at_once(self, conn: Connection, request: PlainRequest) -> tuple[bytes, bool] | None:
        """Return the bytes of an answer, and whether the connection is kept. Return None if a thread must answer.

        This method never waits. If the application raises an exception, this method raises it too.
        """
        began = time.perf_counter()
        environ = self._environ(conn, request)
        start = _Start()
        try:
            body = self._at_once(environ, start)  # type: ignore[misc]
            if body is None:
                return None
            octets = start.octets(request, b"".join(body))
            self._lines.add(request_ids.current(), atoms_of(start, environ, time.perf_counter() - began))
        except InThread as needed:
            conn.decided = environ, needed.application
            return None
        finally:
            request_ids.end()
        return octets, request.keeps_connection

    def _answer(
        self, conn: Connection, request: PlainRequest, environ: WSGIEnvironment, application: WSGIApplication
    ) -> bool:
        began = time.perf_counter()
        answer = PlainResponse(request, conn.sock, self._cfg)
        if not self._worker.alive:
            answer.force_close()
        environ["wsgi.early_hints"] = _make_early_hints_callback(request, conn.sock, answer)
        try:
            body = application(environ, answer.start_response)
            try:
                send(answer, body)
            finally:
                if answer.headers_sent:
                    took = timedelta(seconds=time.perf_counter() - began)
                    self._worker.log.access(answer, request, environ, took)
                if hasattr(body, "close"):
                    body.close()
        except Exception as error:
            if not answer.headers_sent:
                raise
            if not is_lost(error):
                self._worker.log.exception("Error handling request")
            return False  # close now: the client would read an error page as a part of this answer
        return not (answer.should_close() or answer.is_too_short)

    def _environ(self, conn: Connection, request: PlainRequest) -> WSGIEnvironment:
        environ: WSGIEnvironment = {**self._common, **request.environ, **conn.ends}
        environ["wsgi.input"] = io.BytesIO(conn.body)
        if "SERVER_NAME" not in environ:  # a Unix socket has neither name nor port
            host = environ["HTTP_HOST"].split(":")
            environ["SERVER_NAME"], environ["SERVER_PORT"] = host[0], host[1] if len(host) > 1 else "80"
        return environ


def send(answer: PlainResponse, body: Iterable[bytes]) -> None:
    """Send the whole *answer* with this *body*."""
    if isinstance(body, FileWrapper):
        answer.write_file(body)
    else:
        for piece in body:
            answer.write(piece)
    answer.close()


def is_lost(error: Exception) -> bool:
    """Tell whether *error* means that the client has closed the connection."""
    return isinstance(error, OSError) and error.errno in LOST


class _Start:
    """The start_response for an answer from the event loop. It also has the fields that the access log needs."""

    def __init__(self) -> None:
        self.status, self.sent = "", 0
        self._headers: Headers = []

    def __call__(self, status: str, headers: Headers, _error: Any = None, /) -> Callable[[bytes], object]:
        self.status, self._headers = status, headers
        return _refuse_to_write

    def octets(self, request: PlainRequest, body: bytes) -> bytes:
        """Return the whole answer. Raises ValueError if a header is unusual or the Content-Length is wrong."""
        length = length_if_ordinary(self._headers)
        if length is None or (length != str(len(body)) and request.method != "HEAD"):
            raise ValueError("an answer at once has ordinary headers, and its true length among them")
        self.sent = len(body)
        connection = "keep-alive" if request.keeps_connection else "close"
        return head_of(request.version[1], self.status, connection, self._headers) + body


def _refuse_to_write(_octets: bytes) -> None:
    raise RuntimeError("an answer at once is returned, not written")


def ends_of(client: Any, server: Any, sock: Any) -> Mapping[str, Any]:
    """Return the entries of the environ that describe the two ends of the connection."""
    ends = {
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "gunicorn.socket": sock,
        TAKE_YOUR_TIME: sock.take_your_time,
    }
    return ends if isinstance(server, str) else ends | {"SERVER_NAME": server[0], "SERVER_PORT": str(server[1])}
