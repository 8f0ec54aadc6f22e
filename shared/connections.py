"""Collect a request from a connection in the worker's event loop, with a deadline for each wait.

The worker's event loop reads the head of a request, and its body if the body is small, before it assigns a thread. If
gunicorn's parser has to read the request, the loop only estimates how many bytes to collect: the parser gets every byte
unchanged, and decides where the request ends. If the loop does not collect a body (it is too large, or its length is
not certain), or if the client does not accept a response at once, a thread reads or writes through
`shared.client_socket.ClientSocket`.
"""

from __future__ import annotations

import contextlib
import errno
import re
import socket
import time
from enum import Enum
from typing import TYPE_CHECKING, Any

from gunicorn.http.body import LengthReader
from gunicorn.workers.gthread import TConn

from shared.client_socket import GRACE_SECONDS, LEAST_RATE, ClientSocket
from shared.plain_answers import ends_of
from shared.plain_requests import PlainRequest, read_plain
from shared.request_limits import MAX_BODY

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

HEAD_SECONDS = 10  # limit for a whole head, from the start of the connection or the first byte of a later request
HEAD_BYTES = 65_536  # a longer head is rejected at once
SMALL_BODY = MAX_BODY  # bytes of a body that the loop reads before it assigns a thread
LINGER_SECONDS = 2  # limit for the client to read the answer before we close the connection
LINGER_BYTES = 1_048_576

HEAD_ENDS, LAST_CHUNK = b"\r\n\r\n", b"\r\n0\r\n"
BARE_LF = re.compile(rb"(?<!\r)\n")  # the parser rejects it at once, so the loop does not wait for more
FRAMING = re.compile(rb"\r\n(content-length|transfer-encoding|expect):[ \t]*([0-9]*)", re.IGNORECASE)


class CutOff(ConnectionResetError):
    """The client closed the connection before the end of the announced body."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "the body is cut off")


class WholeReader(LengthReader):  # type: ignore[misc]
    """gunicorn's reader of a body with a Content-Length, changed so that it never treats a partial body as complete."""

    def read(self, size: int) -> bytes:
        """Return *size* bytes, or all bytes that are left if there are fewer. Raises CutOff."""
        wanted = min(self.length, size)
        octets: bytes = super().read(size)
        if len(octets) < wanted:
            raise CutOff
        return octets


class Phase(Enum):
    """What the event loop waits for."""

    IDLE = "the first byte of the next request"
    HEAD = "the rest of the head"
    BODY = "the rest of a small body"
    LINGERING = "the client to close"


class Connection(TConn):  # type: ignore[misc]
    """A connection in the event loop: what it waits for, until when, and the bytes received so far."""

    sock: ClientSocket

    def __init__(
        self, cfg: Any, sock: ClientSocket, client: Any, server: Any, collects: Callable[[str], bool] | None = None
    ) -> None:
        super().__init__(cfg, sock, client, server)
        self._collects, self._chunks_since = collects, 0.0  # the time at which collecting a chunked body began
        self.data_ready = True  # a thread gets a complete head, so it does not wait for a first byte
        self.phase, self.deadline = Phase.HEAD, time.monotonic() + HEAD_SECONDS
        self.head_is_too_large = False
        self.request: PlainRequest | None = None  # None: gunicorn's parser reads the request
        self.decided: tuple[WSGIEnvironment, WSGIApplication] | None = None  # the environ and who answers, if known yet
        self.ends = ends_of(client, server, sock)
        self._came, self._head_bytes, self._awaited, self._drained = bytearray(), 0, 0, 0

    def await_next(self, already: bytes) -> bool:
        """Wait for the next request, of which the bytes *already* were received. Return the result of `take`."""
        self.phase, self.deadline = Phase.IDLE, time.monotonic() + self.cfg.keepalive
        return bool(already) and self.take(already)

    def take(self, piece: bytes) -> bool:
        """Add received bytes. Tell whether the request is complete, or the parser can already reject it."""
        before = len(self._came)
        self._came += piece
        if self.phase is not Phase.BODY:
            end = self._came.find(HEAD_ENDS, max(0, before - 3)) + len(HEAD_ENDS)
            if end < len(HEAD_ENDS):
                return self._goes_on_with_head(before)
            self.head_is_too_large = end > HEAD_BYTES
            if self.head_is_too_large:
                return True
            self._await_body(end)
        if self._chunks_since:
            return self._may_have_all_chunks(max(self._head_bytes - 2, before - 4))
        return len(self._came) >= self._awaited

    def _goes_on_with_head(self, before: int) -> bool:
        """Tell whether the parser can already reject the incomplete head, for example because of a bare LF."""
        if self.phase is Phase.IDLE:
            self.phase, self.deadline = Phase.HEAD, time.monotonic() + HEAD_SECONDS
        self.head_is_too_large = len(self._came) > HEAD_BYTES
        self._awaited = 0
        return self.head_is_too_large or BARE_LF.search(self._came, max(0, before - 1)) is not None

    @property
    def body(self) -> bytes:
        """The body of the plain request that was received."""
        return bytes(self._came[self._head_bytes : self._awaited])

    def rest(self) -> bytes:
        """Return the bytes that were received after the answered request, and discard that request."""
        if self.request is None:
            return bytes(self.parser.unreader.take_buffered())
        rest = bytes(self._came[self._awaited :])
        self._came.clear()
        self.request = self.decided = None
        return rest

    @property
    def collects_chunks(self) -> bool:
        """Tell whether the event loop is collecting a chunked body."""
        return self._chunks_since > 0

    @property
    def head_is_one_line(self) -> bool:
        """Tell whether the received bytes do not yet contain the whole request line."""
        return b"\r\n" not in self._came

    def hand_over(self) -> None:
        """Pass the received bytes to gunicorn's parser."""
        self._chunks_since = 0.0
        self.init()
        self.parser.unreader.unread(bytes(self._came))
        self._came.clear()

    def linger(self) -> None:
        """Close the sending side, and wait until the client has read everything. Raises OSError."""
        self.phase, self.deadline = Phase.LINGERING, time.monotonic() + LINGER_SECONDS
        self.sock.setblocking(False)
        self.sock.shutdown(socket.SHUT_WR)

    def drain(self, piece: bytes) -> bool:
        """Discard *piece*. Tell whether the client closed the connection, or sent too much to wait any longer."""
        self._drained += len(piece)
        return not piece or self._drained > LINGER_BYTES

    def say_that_it_took_too_long(self) -> None:
        """Answer 408 to a request that was begun but not completed in time."""
        if self._came:
            with contextlib.suppress(OSError):  # the client may not even read
                self.sock.send(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    def _await_body(self, head_bytes: int) -> None:
        head = bytes(self._came[:head_bytes])
        self.request = read_plain(head)
        if self.request is not None and self.request.content_length > SMALL_BODY:
            self.request = None
        if self.request is None and self._collects_chunks(head):
            self.phase, self._chunks_since = Phase.BODY, time.monotonic()
        body = self.request.content_length if self.request is not None else body_to_await(head)
        self._head_bytes, self._awaited = head_bytes, head_bytes + body
        if body:
            self.phase, self.deadline = Phase.BODY, time.monotonic() + GRACE_SECONDS + body / LEAST_RATE

    def _collects_chunks(self, head: bytes) -> bool:
        return self._collects is not None and is_in_chunks(head) and self._collects(target_of(head))

    def _may_have_all_chunks(self, unread: int) -> bool:
        """Return True if the chunked body may be complete, or if it is already longer than our limit."""
        moved = len(self._came) - self._head_bytes
        self.deadline = self._chunks_since + GRACE_SECONDS + moved / LEAST_RATE
        if moved > SMALL_BODY or self._came.find(LAST_CHUNK, unread) >= 0:
            return True
        return moved > len(HEAD_ENDS) and self._came.endswith(HEAD_ENDS)


def is_in_chunks(head: bytes) -> bool:
    """Tell whether the client will send a chunked body without waiting for "100 Continue"."""
    found = FRAMING.findall(head)
    return len(found) == 1 and found[0][0].lower() == b"transfer-encoding" and not BARE_LF.search(head)


def target_of(head: bytes) -> str:
    """Return the target of the request line, unchanged."""
    words = head.partition(b"\r\n")[0].split(b" ")
    return words[1].decode("latin-1") if len(words) == 3 else ""


def body_to_await(head: bytes | bytearray) -> int:
    """Return how many bytes of the body to read before a thread is assigned. If this is not certain, return 0."""
    if BARE_LF.search(head):
        return 0
    found = FRAMING.findall(head)
    if len(found) != 1 or found[0][0].lower() != b"content-length" or len(found[0][1]) > len(str(SMALL_BODY)):
        return 0
    length = int(found[0][1] or 0)
    return length if length <= SMALL_BODY else 0
