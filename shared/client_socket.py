"""A client's socket, with a limit on every wait of a thread that reads from it or writes to it.

If the event loop does not collect a body, or the client does not accept a response at once, a thread reads or writes
through `ClientSocket` (`shared.connections`). While the thread waits for the client, another thread works in its place
(`shared.threads`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import stat
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from shared.threads import Threads

GRACE_SECONDS = 10  # limit for all waits in a request; plus one second for each LEAST_RATE bytes moved
LEAST_RATE = 1_024  # bytes a second
ROOM = 65_536  # bytes that count as moved at the start of a request, so that a new client is not the slowest
IDLE_SECONDS = 60  # limit for one wait without progress; the protected application's bodies have only this limit


class TooSlow(TimeoutError):
    """The client is too slow. The errno is that of a lost connection, because gunicorn does not log such errors."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "the client is too slow")


class ClientSocket(socket.socket):
    """A client's socket. In the threads that answer requests, it limits every wait. Elsewhere it is a plain socket."""

    _threads: Threads
    hurried = True  # if true, enforce a minimum rate; if false, limit only the time without progress
    patient = True  # if false, never wait

    @classmethod
    def take_over(cls, accepted: socket.socket, threads: Threads) -> Self:
        """Return *accepted* as a ClientSocket."""
        own = cls(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        own._threads = threads
        own.begin_request()
        return own

    def begin_request(self) -> None:
        """Reset the counts of bytes and waiting time, and the limits, for a new request."""
        self.hurried, self._moved, self._waited, self._given_up = True, 0, 0.0, False
        self._wait_began: float | None = None

    def take_your_time(self) -> None:
        """Require no minimum rate for this request: its body and response belong to the protected application."""
        self.hurried = False

    def slowness(self) -> float:
        """Return how long this client has kept us waiting in this request, in seconds per byte received or sent.

        ROOM is added to the number of bytes. If a client starts fast and then pauses, the pause still increases the
        result.
        """
        return self._seconds_waited() / (self._moved + ROOM)

    def _seconds_waited(self) -> float:
        began = self._wait_began
        return self._waited + (time.monotonic() - began if began is not None else 0.0)

    def give_up(self) -> None:
        """Wake up the thread that waits for this client."""
        self._given_up = True
        with contextlib.suppress(OSError):  # the client may have closed already
            self.shutdown(socket.SHUT_RDWR)

    recv_now = socket.socket.recv  # for the event loop, where the socket does not block

    def send_now(self, data: bytes) -> bytes:
        """Send as much of *data* as the client accepts without waiting, and return the rest. Raises OSError."""
        try:
            return data[super().send(data) :]
        except BlockingIOError:
            return data

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receive at most *bufsize* bytes, after a bounded wait."""
        if not self._threads.include_this_one():
            return super().recv(bufsize, flags)
        self._wait_for(select.POLLIN)
        received = super().recv(bufsize, flags)
        self._moved += len(received)
        return received

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send a part of *data*, after a bounded wait."""
        if self.gettimeout() == 0 or not self._threads.include_this_one():
            return super().send(data, flags)
        while True:
            try:
                sent = super().send(data, flags | socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._wait_for(select.POLLOUT)
            else:
                self._moved += sent
                return sent

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send all of *data*, with any number of bounded waits."""
        if self.gettimeout() == 0 or not self._threads.include_this_one():
            return super().sendall(data, flags)
        left = memoryview(data)
        while left:
            left = left[self.send(left, flags) :]
        return None

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send *count* bytes of *file*, with any number of bounded waits."""
        ours = self._threads.include_this_one() and count is not None
        if not ours or not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return super().sendfile(file, offset, count)
        self.setblocking(False)
        try:
            return self._send_regular_file(file.fileno(), offset, count or 0)
        finally:
            self.setblocking(True)

    def _send_regular_file(self, file: int, offset: int, count: int) -> int:
        done = 0
        while done < count:
            try:
                sent = os.sendfile(self.fileno(), file, offset + done, count - done)
            except BlockingIOError:
                self._wait_for(select.POLLOUT)
                continue
            if not sent:  # otherwise the client would read the next answer as the rest of this file
                raise OSError(errno.EIO, "a file has become shorter while it was sent")
            done += sent
            self._moved += sent
        return done

    def _wait_for(self, event: int) -> None:
        """Wait for *event*. Raises TooSlow."""
        poll = select.poll()
        poll.register(self.fileno(), event)
        if poll.poll(0):
            return
        seconds = self._seconds_left()
        if not self.patient or seconds <= 0:
            raise TooSlow
        self._wait_began = began = time.monotonic()
        with self._threads.waiting_for(self):
            happened = poll.poll(seconds * 1000)
        self._wait_began, self._waited = None, self._waited + time.monotonic() - began
        if not happened or self._given_up:
            raise TooSlow

    def _seconds_left(self) -> float:
        seconds: float = IDLE_SECONDS
        if self.hurried:
            seconds = min(seconds, GRACE_SECONDS + self._moved / LEAST_RATE - self._seconds_waited())
        return min(seconds, self.gettimeout() or seconds)
