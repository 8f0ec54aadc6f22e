"""Write the access log: one line for each request, with its path, but without the query, which may contain a token.

A thread writes each line as an ordinary log record. The event loop cannot write log records, for two reasons: it must
not wait for the process that reads the log, and writing a log record takes longer than answering a request. So the
event loop collects its lines. After each iteration, it writes as many lines as the log's reader accepts without
waiting. While unwritten lines are left, `is_open` is false, and the loop passes all requests to threads, because
threads may wait. `is_open` is also false if the application has changed where log lines go.
"""

from __future__ import annotations

import logging
import os
import select
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gunicorn.glogging import Logger

from shared.clock import time_now
from shared.json_log import ACCESS_LOGGER, JsonFormatter, line_of_request
from shared.logs import LineFormatter
from shared.printable import printable
from shared.tokens import redact

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

FORMAT = '%(h)s "%(m)s %(U)s" %(s)s %(B)s bytes %(M)s ms'  # %(U)s is the path: tokens travel in the query
AT_ONCE = select.PIPE_BUF  # bytes that a pipe accepts without waiting if it is writable

Atoms = Mapping[str, Any]  # the parts of a line, by gunicorn's names


class AccessLog(Logger):  # type: ignore[misc]
    """gunicorn's logger, changed so that it collects only the parts of a request that FORMAT uses."""

    def atoms(self, resp: Any, req: Any, environ: WSGIEnvironment, request_time: timedelta) -> dict[str, Any]:
        """Return the parts of a line, by gunicorn's names."""
        return atoms_of(resp, environ, request_time.total_seconds())


def atoms_of(answer: Any, environ: WSGIEnvironment, seconds: float) -> dict[str, Any]:
    """Return the parts of a line, by gunicorn's names. The request took *seconds*."""
    return {
        "h": environ.get("REMOTE_ADDR", "-"),
        "m": environ.get("REQUEST_METHOD"),
        "U": environ.get("PATH_INFO"),
        "s": (answer.status or "-").partition(" ")[0],  # no status if the answer failed before it began
        "B": answer.sent,
        "M": int(seconds * 1000),
    }


class LoopLog:
    """Collects and writes the lines of the requests that the event loop answers itself."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._second, self._stamp = 0, ""
        self._poll = select.poll()
        self._handler, self._line = _where_lines_go()
        try:
            if self._handler is not None:
                self._poll.register(self._handler.stream.fileno(), select.POLLOUT)
        except (OSError, ValueError):
            self._handler = None  # the application's stream is not a file
        self.is_open = self._handler is not None

    def add(self, request_id: str, atoms: Atoms) -> None:
        """Add a line. `write` writes it at the end of this iteration of the event loop."""
        self._lines.append(self._line(self, time_now(), request_id, atoms).encode("utf-8", "backslashreplace"))

    def write(self) -> None:
        """Write as many lines as the log's reader accepts without waiting."""
        if self._lines and self._handler is not None:
            lock = self._handler.lock
            if lock is None or not lock.acquire(blocking=False):
                self.is_open = False  # a thread has the lock, and may wait for the log's reader
                return
            try:
                self._write(self._handler.stream.fileno())
            except ValueError:
                self._lines.clear()  # an application has closed the stream
            finally:
                lock.release()
        self.is_open = not self._lines and self._handler is not None and _where_lines_go()[0] is self._handler

    def _write(self, file: int) -> None:
        while self._lines and self._poll.poll(0):
            together = self._lines.popleft()
            while self._lines and len(together) + len(self._lines[0]) <= AT_ONCE:
                together += self._lines.popleft()
            try:
                written = os.write(file, together)
            except OSError:
                continue  # the log's reader has closed its end
            if written < len(together):
                self._lines.appendleft(together[written:])

    def as_text(self, now: float, request_id: str, atoms: Atoms) -> str:
        """Return a line in the format of `LineFormatter`."""
        second = int(now)
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        before = f"{self._stamp},{int((now - second) * 1000):03d} INFO [{request_id or '-'}] {ACCESS_LOGGER}: "
        return printable(redact(before + FORMAT % atoms)) + "\n"

    def as_json(self, now: float, request_id: str, atoms: Atoms) -> str:
        """Return a line in the format of `JsonFormatter`."""
        return line_of_request(now, redact(FORMAT % atoms), request_id, atoms) + "\n"


_LINES: dict[type, Callable[[LoopLog, float, str, Atoms], str]] = {
    LineFormatter: LoopLog.as_text,
    JsonFormatter: LoopLog.as_json,
}


def _where_lines_go() -> tuple[logging.StreamHandler[Any] | None, Callable[[LoopLog, float, str, Atoms], str]]:
    """Return the handler of access lines, and the function that formats a line for it.

    The handler is None if an application has changed where the lines go.
    """
    log, handlers = logging.getLogger(ACCESS_LOGGER), logging.getLogger().handlers
    handler = handlers[0] if len(handlers) == 1 else None
    if type(handler) is not logging.StreamHandler:
        return None, LoopLog.as_text
    write = _LINES.get(type(handler.formatter))
    if write is None or not log.propagate or not log.isEnabledFor(logging.INFO):
        return None, LoopLog.as_text
    if log.handlers or log.filters or handler.filters:
        return None, LoopLog.as_text
    return handler, write
