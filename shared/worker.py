"""gunicorn's threaded worker, changed so that a slow client occupies a connection but not a thread.

gunicorn 27's own worker assigns a thread to each connection after its first byte. The thread reads the head of the
request without a deadline. When gunicorn's worker closes a connection, its only accepting thread waits up to two
seconds for the client. In this worker, the event loop reads heads and small bodies, closes connections without waiting,
and enforces the deadlines (`shared.connections`). A thread gets a request when the request is complete, or when the
loop does not collect its body, because it is too large or its length is not certain (`shared.threads`). The handling of
signals, except SIGHUP, and most of the graceful stop are gunicorn's own. gunicorn's parser reads every request that is
not plain (`shared.plain_requests`).

An application may answer some plain requests from memory, without a thread. To do so, it offers
`answer_at_once(environ, start_response)`, which returns the body, or None if the request needs a thread. An application
may also offer `collects_body(target)`. If this function returns true, bodies for this target are small, and the event
loop collects a chunked body.

If a worker has its maximum number of connections, a new connection replaces the connection that has waited longest.
"""

from __future__ import annotations

import errno
import selectors
import signal
import socket
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from gunicorn.arbiter import Arbiter
from gunicorn.http.body import LengthReader
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from shared import request_ids
from shared.client_socket import ClientSocket
from shared.collecting import nothing_to_collect
from shared.connections import HEAD_BYTES, Connection, Phase, WholeReader
from shared.plain_answers import PlainAnswers, is_lost
from shared.settings import SettingsRefused
from shared.threads import TAKE_YOUR_TIME, Threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PIECE = 16_384  # bytes that are received at a time
SWEEP_SECONDS = 0.5  # between two checks for expired connections
RETRY_SECONDS = 1
MOST_ACCEPTED = 16  # new connections in each iteration of the event loop, before it handles the open ones
MAX_WAITING = 2_048  # connections that wait to be accepted: gunicorn's backlog
FIRST_SECONDS = 30  # limit for the first worker to load; gunicorn ends a worker that takes longer
NOTHING_TO_ACCEPT = {errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK}
NO_DESCRIPTOR_LEFT = {errno.EMFILE, errno.ENFILE}


class Worker(ThreadWorker):  # type: ignore[misc]
    """Reads requests in its event loop, and answers them in threads. `app` is a `shared.serving.Server`."""

    tpool: Threads
    wsgi: WSGIApplication

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: dict[Connection, None] = {}  # connections without a thread, longest wait first
        self._next_sweep = 0.0
        self._application: WSGIApplication | None = None
        self._must_reload = False

    def init_signals(self) -> None:
        """Let a SIGHUP only set a flag. The event loop then reloads, at a point where no lock is held."""
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])  # before its handler is set, SIGHUP would kill us
        super().init_signals()
        signal.signal(signal.SIGHUP, self._handle_hup)
        signal.siginterrupt(signal.SIGHUP, False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])

    def _handle_hup(self, _signal: int, _frame: object) -> None:
        self._must_reload = True

    def _reload(self) -> None:
        self._must_reload = False
        if self._application is not None and self.app.reload_application is not None:
            self.app.reload_application(self._application)

    def get_thread_pool(self) -> Threads:
        """Start the threads, in the worker's own process."""
        return Threads(self.cfg.threads)

    def load_wsgi(self) -> None:
        """Load the application, which finds TAKE_YOUR_TIME in its environ."""
        try:
            with nothing_to_collect():
                super().load_wsgi()
        except SettingsRefused as refusal:
            self._refuse(refusal)
        if self.age == 1:
            self.app.first_is_done[0] = 1
        application = self._application = self.wsgi
        self._plain = PlainAnswers(self, application)

        def with_time(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
            environ[TAKE_YOUR_TIME] = environ["gunicorn.socket"].take_your_time
            body = environ["wsgi.input"]
            if isinstance(body.reader, LengthReader):
                body.reader = WholeReader(body.reader.unreader, body.reader.length)
            if environ["SCRIPT_NAME"]:  # set by a process variable, which plain requests do not support
                environ["PATH_INFO"], environ["SCRIPT_NAME"] = environ["SCRIPT_NAME"] + environ["PATH_INFO"], ""
            return application(environ, start_response)

        self.wsgi = with_time

    def set_accept_enabled(self, enabled: bool) -> None:
        """Begin or stop accepting connections.

        When the worker stops, it first takes the connections that the kernel has accepted. After that, the kernel must
        refuse new connections at once. Otherwise a new connection would wait until the current requests end, and would
        then be cut off.
        """
        is_stop = self._accepting and not self.alive
        if is_stop:
            for listener in self.sockets:
                for _number in range(MAX_WAITING):
                    if not self._accept_one(listener):
                        break
        super().set_accept_enabled(enabled)
        if is_stop:
            for listener in self.sockets:
                listener.close()

    def accept(self, listener: Any) -> None:
        """Accept waiting connections. If the worker has no room, accept only one, which replaces another connection."""
        for _number in range(MOST_ACCEPTED):
            if not self._accept_one(listener) or self.nr_conns + 1 >= self.worker_connections:
                break

    def _accept_one(self, listener: Any) -> bool:
        """Accept one connection, and begin to read from it. Tell whether a connection was waiting."""
        try:
            accepted, client = listener.accept()
        except OSError as error:
            if error.errno in NO_DESCRIPTOR_LEFT:
                self._give_up_the_longest()
            elif error.errno not in NOTHING_TO_ACCEPT:
                raise
            return False
        if accepted.family == socket.AF_UNIX:
            client = ("127.0.0.1", 0)  # a Unix socket: the client is on this machine
        self.nr_conns += 1
        self._make_room()
        sock = ClientSocket.take_over(accepted, self.tpool)
        conn = Connection(self.cfg, sock, client, listener.getsockname(), self._plain.collects)
        piece = received(conn)  # most requests arrive together with their connection
        if piece and conn.take(piece):
            self._go_on(conn)
        else:
            self._wait(conn)
        return True

    def enqueue_req(self, conn: Connection) -> None:
        """Queue the request. The next free thread answers it."""
        self.tpool.submit(partial(self._answer, conn))

    def handle(self, conn: Connection) -> Any:
        """Answer one request, and tell whether the connection is kept. This runs in a thread."""
        if conn.head_is_too_large:
            self.handle_error(None, conn.sock, conn.client, why_too_large(conn))
            return False
        conn.sock.begin_request()
        if conn.request is None:
            conn.hand_over()
            return super().handle(conn)
        conn.sock.setblocking(True)
        try:
            return self._plain.in_thread(conn, conn.request)
        except Exception as error:
            self._say_why(conn, error)
            return False

    def finish_request(self, conn: Connection, kept: bool) -> None:
        """Wait for the next request, or close the connection. This runs in the event loop."""
        if not kept:
            self._linger(conn)
        elif conn.await_next(conn.rest()):
            self.enqueue_req(conn)
        else:
            conn.sock.setblocking(False)
            self._wait(conn)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close connections that have waited too long. With *force*, close all waiting connections."""
        now = time.monotonic()
        if now < self._next_sweep and not force:
            return
        self._next_sweep = now + SWEEP_SECONDS
        for conn in list(self._waiting):
            if conn in self._waiting and (force or conn.deadline <= now):  # it may have been closed to make room
                self._stop_waiting(conn)
                self._end_politely(conn)

    def murder_pending(self) -> None:
        """Do nothing, because this worker has all waiting connections in one table."""

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Handle events, wake up for the next check of deadlines, write the log, and reload if necessary."""
        super().wait_for_and_dispatch_events(min(timeout, SWEEP_SECONDS))
        self._plain.write_log()
        if self._must_reload:
            self._reload()

    def _cap_keepalive(self, deadline: float) -> None:
        for conn in self._waiting:
            conn.deadline = min(conn.deadline, deadline)

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Keep a connection only if the unread rest of the body has already arrived and can be read."""
        if not keepalive:
            return False
        conn.sock.patient = False
        try:
            return bool(super()._keepalive_after(conn, keepalive))
        except ParseException:
            return False  # the request was answered; an error response would look like the answer to the next request
        finally:
            conn.sock.patient = True

    def _refuse(self, refusal: SettingsRefused) -> NoReturn:
        """End this worker, which cannot load. The first worker also ends the server and prints the reason.

        A later worker only exits, and gunicorn starts a new one in its place.
        """
        if self.age == 1:
            print(refusal, file=sys.stderr, flush=True)
            self.app.first_is_done[0] = 1  # gunicorn loses a SIGTERM that comes while it forks a worker
            sys.exit(Arbiter.APP_LOAD_ERROR)
        if self.age > self.cfg.workers:
            self.log.error("%s", refusal)
        else:
            self._leave_it_to_the_first()
        time.sleep(RETRY_SECONDS)
        sys.exit(1)

    def _leave_it_to_the_first(self) -> None:
        """Wait until the first worker has loaded.

        If the first worker fails, it ends the server, so the reason is printed only once.
        """
        deadline = time.monotonic() + FIRST_SECONDS
        while self.alive and not self.app.first_is_done[0] and self.is_parent_alive() and time.monotonic() < deadline:
            self.notify()
            time.sleep(SWEEP_SECONDS / 10)

    def _go_on(self, conn: Connection) -> None:
        """Answer the received request: here, if the application can answer at once, otherwise in a thread."""
        answer = self._answer_at_once(conn) if self._plain.may_answer_at_once else None
        if answer is None:
            self._leave_to(self.enqueue_req, conn)
            return
        octets, kept = answer
        try:
            unsent = conn.sock.send_now(octets)
        except OSError:
            unsent, kept = b"", False
        if unsent:
            self._leave_to(partial(self._send_in_thread, unsent, kept), conn)
        elif not kept:
            self._leave_to(self._linger, conn)
        elif conn.await_next(conn.rest()):
            self._leave_to(self.enqueue_req, conn)  # after the requests that came earlier
        elif conn in self._waiting:
            self._waiting[conn] = self._waiting.pop(conn)
        else:
            self._wait(conn)

    def _answer_at_once(self, conn: Connection) -> tuple[bytes, bool] | None:
        if conn.request is None:
            return None
        try:
            return self._plain.at_once(conn, conn.request)
        except Exception as error:
            self._say_why(conn, error)
            return b"", False

    def _leave_to(self, other: Callable[[Connection], None], conn: Connection) -> None:
        """Remove *conn* from the waiting connections, and pass it to *other*."""
        if conn in self._waiting:
            self._stop_waiting(conn)
        other(conn)

    def _send_in_thread(self, unsent: bytes, kept: bool, conn: Connection) -> None:
        self.tpool.submit(partial(self._send, unsent, kept, conn))

    def _send(self, unsent: bytes, kept: bool, conn: Connection) -> None:
        """Send the rest of an answer, and let the event loop continue with the connection. This runs in a thread."""
        conn.sock.begin_request()
        try:
            conn.sock.setblocking(True)
            conn.sock.sendall(unsent)
        except OSError:
            kept = False
        self.method_queue.defer(self.finish_request, conn, kept)

    def _say_why(self, conn: Connection, error: Exception) -> None:
        """Answer that the application has failed, unless the client has closed the connection."""
        if not is_lost(error):
            self.handle_error(conn.request, conn.sock, conn.client, error)

    def _answer(self, conn: Connection) -> None:
        kept = False
        try:
            kept = bool(self.handle(conn))
        except BaseException:  # otherwise this thread would end and not be replaced
            self.log.exception("Error handling a connection")
        request_ids.end()
        self.method_queue.defer(self.finish_request, conn, kept)

    def _wait(self, conn: Connection) -> None:
        if not self.alive:
            conn.deadline = min(conn.deadline, time.monotonic() + STOP_KEEPALIVE_LINGER)
        self._waiting[conn] = None
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._on_readable, conn))
        self._make_room()

    def _stop_waiting(self, conn: Connection) -> None:
        del self._waiting[conn]
        self.poller.unregister(conn.sock)

    def _on_readable(self, conn: Connection, _sock: ClientSocket) -> None:
        piece = received(conn) if conn in self._waiting else None  # the client may have just been dropped
        if piece is None:
            return
        lingering = conn.phase is Phase.LINGERING
        if not piece and conn.collects_chunks:
            self._go_on(conn)  # the parser answers with an error, which the client may still read
        elif conn.drain(piece) if lingering else not piece:
            self._stop_waiting(conn)
            self._end(conn)
        elif not lingering and conn.take(piece):
            self._go_on(conn)

    def _linger(self, conn: Connection) -> None:
        try:
            conn.linger()
        except OSError:
            self._end(conn)
        else:
            self._wait(conn)

    def _end_politely(self, conn: Connection) -> None:
        if conn.phase in (Phase.HEAD, Phase.BODY) and self.alive:
            conn.say_that_it_took_too_long()
            self._linger(conn)
        else:
            self._end(conn)

    def _make_room(self) -> None:
        """Keep room for one more connection. Without room, no connection would be accepted until another one ends."""
        if self.nr_conns >= self.worker_connections:
            self._give_up_the_longest()

    def _give_up_the_longest(self) -> None:
        longest = next(iter(self._waiting), None)
        if longest is not None:
            self._stop_waiting(longest)
            self._end(longest)

    def _end(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.close()


def received(conn: Connection) -> bytes | None:
    """Return the bytes that have arrived.

    The result is empty if the client has closed the connection, and None if no bytes have arrived yet.
    """
    try:
        return conn.sock.recv_now(PIECE)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def why_too_large(conn: Connection) -> Exception:
    """Return the error for a head that is too large."""
    why: Exception = LimitRequestHeaders("the head of the request is too large")
    if conn.head_is_one_line:
        why = LimitRequestLine(HEAD_BYTES, conn.cfg.limit_request_line)
    return why
