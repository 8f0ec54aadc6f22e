"""Through the nginx example: WebSockets, large uploads and their dangers, with real nginx and a signed-in person."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page

from lab.cast import ALICE
from lab.pair import Pair
from lab.ports import free_port
from tests.examples import servers
from tests.examples.conftest import Example
from tests.examples.test_examples import go_in
from tests.support.long_app import LongApp, long_app

UPLOAD = 8 * 1024 * 1024  # bytes; nginx's own most is 1 MiB
SECONDS = 30
KEY = "dGhlIHNhbXBsZSBub25jZQ=="

pytestmark = pytest.mark.browser


@dataclass
class Site:
    """An application of long requests behind nginx, and Alice's cookie."""

    url: str
    app: LongApp
    cookie: str

    def connect(self) -> socket.socket:
        port = urlsplit(self.url).port
        assert port
        return socket.create_connection(("127.0.0.1", port), SECONDS)

    def ask(self, request: str, *, cookie: str | None = None) -> tuple[socket.socket, bytes]:
        """Send a request line and headers; return the connection and the head of the answer."""
        client = self.connect()
        cookie = self.cookie if cookie is None else cookie
        head = f"{request}\r\nHost: {urlsplit(self.url).netloc}\r\nCookie: {cookie}\r\n\r\n"
        client.sendall(head.encode())
        answer = b""
        while b"\r\n\r\n" not in answer and (piece := client.recv(1)):
            answer += piece
        return client, answer


@pytest.fixture
def site(
    page: Page, started: Callable[[str], Example], idp_pair: Pair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    go_in(page, started("nginx"))
    cookies = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in page.context.cookies())
    port = free_port()
    with (
        long_app() as app,
        servers.nginx(str(servers.find("nginx")), port, idp_pair.sp.port, app.port, tmp_path_factory.mktemp("long")),
    ):
        yield Site(f"http://127.0.0.1:{port}", app, cookies)


def handshake(origin: str) -> str:
    return (
        f"GET /socket HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: {origin}\r\n"
        f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13"
    )


def test_a_websocket_reaches_the_application(site: Site) -> None:
    client, answer = site.ask(handshake(site.url))
    with client:
        assert answer.startswith(b"HTTP/1.1 101")
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer  # RFC 6455, 1.3
        client.sendall(bytes([0x81, 0x85, 0, 0, 0, 0]) + b"hello")
        assert client.recv(7) == bytes([0x81, 5]) + b"hello"


def test_a_websocket_of_somebody_signed_out_or_of_a_foreign_page_does_not(site: Site) -> None:
    for request, cookie in ((handshake(site.url), ""), (handshake("http://evil.example"), None)):
        client, answer = site.ask(request, cookie=cookie)
        with client:
            assert answer.split()[1] in (b"401", b"403"), answer


@pytest.mark.parametrize("protocol", ["h2c", "h2c, websocket", "websocket, h2c", "TLS/1.0", "tcp"])
def test_attack_no_other_protocol_is_upgraded_to(site: Site, protocol: str) -> None:
    request = (
        f"GET / HTTP/1.1\r\nUpgrade: {protocol}\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk"
    )
    client, answer = site.ask(request)
    with client:
        assert answer.startswith(b"HTTP/1.1 200")
        told = client.recv(4096)
        assert f'"Remote-User": "{ALICE.email}"'.encode() in told
        assert b'"Upgrade": null, "Connection": "close"' in told


def test_a_large_upload_reaches_the_application_while_it_is_still_sent(site: Site) -> None:
    request = f"POST /upload HTTP/1.1\r\nHost: {urlsplit(site.url).netloc}\r\nCookie: {site.cookie}\r\n"
    with site.connect() as client:
        client.sendall(f"{request}Content-Length: {UPLOAD}\r\n\r\n".encode() + bytes(UPLOAD // 2))
        assert site.app.began.wait(SECONDS)
        client.sendall(bytes(UPLOAD // 2))
        answer = client.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(str(UPLOAD).encode())


def test_a_large_upload_of_somebody_signed_out_reaches_no_application(site: Site) -> None:
    answer = httpx.post(f"{site.url}/upload", content=bytes(UPLOAD), trust_env=False, timeout=SECONDS)
    assert answer.status_code == 401
    assert not site.app.began.is_set()
