"""WebSockets, events and chunked bodies through the ASGI gateway, raw over a socket, on real servers."""

import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.cast import ALICE
from lab.pair import table as toml_table
from tests.attacks.gateway import table
from tests.attacks.gateway.raw import exchange, send
from tests.attacks.gateway.servers import ASGI_SERVERS, running
from tests.sp.gateway.gate import Gate, make_gate

SECONDS = 15
HANDSHAKE = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
TEXT, CLOSE = 1, 8


@dataclass(frozen=True)
class Running:
    """A server with the echoing application, its folder, and the parts of the gateway."""

    port: int
    folder: Path
    gate: Gate

    def cookie(self) -> bytes:
        return b"Cookie: sp_session=" + self.gate.sign_in(ALICE).encode()

    @property
    def origin(self) -> bytes:
        return b"Origin: http://127.0.0.1:%d" % self.port

    def handshake(self, *lines: bytes, path: bytes = b"/page") -> socket.socket:
        """Send a handshake; its answer is still to be read."""
        head = [b"GET " + path + b" HTTP/1.1", b"Host: 127.0.0.1:%d" % self.port, *HANDSHAKE, *lines, b"", b""]
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)
        connection.sendall(b"\r\n".join(head))
        return connection

    def wait_for(self, name: str) -> None:
        """Wait until the application has written a file."""
        deadline = time.monotonic() + SECONDS
        while not (self.folder / name).exists():
            assert time.monotonic() < deadline, name
            time.sleep(0.02)


@pytest.fixture(scope="module", params=ASGI_SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp(request.param)
    config = folder / "config.toml"
    config.write_text("".join(toml_table("[rules]", rule) for rule in table.RULES))
    env = {
        "SP_INSTANCE": str(folder),
        "SP_SECRET_KEY": "k" * 48,
        "SP_CONFIG": str(config),
        "SP_EXTERNAL_URL": "http://127.0.0.1:5000",
        "SP_SESSION_CACHE": "1",
    }
    gate = make_gate(folder, table.RULES, SP_SECRET_KEY="k" * 48)
    with running(request.param, "tests.attacks.gateway.echoing_asgi:application", folder, env) as port:
        yield Running(port, folder, gate)


def head_of(connection: socket.socket) -> bytes:
    """Read the head of an answer and nothing more."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        octet = connection.recv(1)
        assert octet, head
        head += octet
    return head


def receive_exactly(connection: socket.socket, length: int) -> bytes:
    octets = b""
    while len(octets) < length:
        piece = connection.recv(length - len(octets))
        assert piece, octets
        octets += piece
    return octets


def frame_of(connection: socket.socket) -> tuple[int, bytes]:
    """Read a short frame (RFC 6455, section 5.2); pings are left out."""
    while True:
        first, length = receive_exactly(connection, 2)
        assert length < 126
        payload = receive_exactly(connection, length)
        if first & 15 != 9:
            return first & 15, payload


def text(message: bytes) -> bytes:
    """Return a client's frame, masked with zeros."""
    return bytes((0x80 | TEXT, 0x80 | len(message))) + bytes(4) + message


def test_a_websocket_is_opened_for_pages_of_ours_only(server: Running) -> None:
    good, cookie = server.origin, server.cookie()
    for lines, status in (
        ([cookie, good], b"101"),
        ([cookie, b"Origin: http://evil.example"], b"403"),
        ([cookie], b"403"),
        ([good], b"403"),
        ([b"Cookie: sp_session=" + b"A" * 43, good], b"403"),
    ):
        with server.handshake(*lines) as connection:
            assert head_of(connection).split(b" ")[1] == status, lines
    with server.handshake(good, path=b"/public/x") as connection:
        assert head_of(connection).split(b" ")[1] == b"101"


def test_an_open_websocket_is_closed_when_the_session_ends(server: Running) -> None:
    with server.handshake(server.cookie(), server.origin) as connection:
        assert b" 101 " in head_of(connection)
        connection.sendall(text(b"hello"))
        assert frame_of(connection) == (TEXT, b"hello")
        server.gate.core.sessions.end(account_id=server.gate.person(ALICE))
        ended = time.monotonic()
        assert frame_of(connection) == (CLOSE, struct.pack("!H", 4401) + b"the session has ended")
        assert time.monotonic() - ended < 5  # SP_SESSION_CACHE is 1, and the machine may be busy
    server.wait_for("socket-ended")


def test_events_come_one_by_one_and_the_application_learns_that_the_client_has_gone(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as connection:
        connection.sendall(b"GET /public/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b"text/event-stream" in head_of(connection)
        received = b""
        while b"data: first\n\n" not in received:  # the answer has not ended, and will not
            received += connection.recv(4096)
    server.wait_for("client-gone")


def test_a_chunked_body_reaches_the_application_whole_and_no_page_of_ours_too_large(server: Running) -> None:
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    lines, chunked = [server.cookie(), server.origin], b"Transfer-Encoding: chunked"
    reply = send(server.port, b"/page", chunked, *lines, method=b"POST", body=8 * chunk + b"0\r\n\r\n")
    assert (reply.status, reply.body) == (200, b"%d bytes" % (8 * 0x4000))
    form = b"Content-Type: application/x-www-form-urlencoded"
    path = b"/sso/logout/backchannel"
    reply = send(server.port, path, chunked, form, method=b"POST", body=8 * chunk + b"0\r\n\r\n")
    assert reply.status in (0, 413)  # 0: the server closes the connection before all was read
    assert send(server.port, path, chunked, form, method=b"POST", body=b"1\r\nx\r\n0\r\n\r\n").status == 400


@pytest.mark.parametrize("target", [b"http://127.0.0.1/admin/x", b"http://evil.example/public/x", b"//public/x"])
def test_an_absolute_or_doubled_beginning_of_the_path_leads_nowhere(server: Running, target: bytes) -> None:
    head = [b"GET " + target + b" HTTP/1.1", b"Host: evil.example", b"Connection: close", server.cookie()]
    assert exchange(server.port, b"\r\n".join([*head, b"", b""])).status in (0, 400)
