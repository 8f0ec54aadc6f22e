"""What is plain: gunicorn's parser, the judge of all requests, reads it in the same way, and to the same end."""

import io
from typing import Any

import gunicorn.http.message
import pytest
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import create
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import serving
from shared.plain_answers import PlainAnswers, ends_of
from shared.plain_requests import MAX_HEAD, PlainRequest, read_plain
from shared.serving import Server

CLIENT, HERE = ("192.0.2.7", 4711), ("127.0.0.1", 5000)
BEHIND = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
OBJECTS = {"wsgi.input", "wsgi.errors", "wsgi.early_hints"}  # one for each request or each reader
CFG = Server(lambda: None, "127.0.0.1:0").cfg


class Client:
    """A socket that has sent *octets*."""

    def __init__(self, octets: bytes) -> None:
        self._octets = io.BytesIO(octets)

    def recv(self, size: int) -> bytes:
        return self._octets.read(size)

    def take_your_time(self) -> None:
        """As `shared.client_socket.ClientSocket`."""


def as_gunicorn_reads(octets: bytes) -> tuple[dict[str, Any], bytes, bytes, bool]:
    """Return environ, body, what comes after the request, and whether the connection ends."""
    client = Client(octets)
    parser = RequestParser(CFG, client, CLIENT)
    request = next(parser)
    _response, environ = create(request, client, CLIENT, HERE, CFG)
    environ["wsgi.multithread"] = True
    body = environ["wsgi.input"].read()
    return environ, body, parser.unreader.take_buffered() + client.recv(10_000), request.should_close()


def as_plain(octets: bytes) -> tuple[dict[str, Any], bytes, bytes, bool] | None:
    """Return the same of a plain request; None for any other."""
    head_bytes = octets.find(b"\r\n\r\n") + 4
    request = read_plain(octets[:head_bytes]) if head_bytes >= 4 else None
    if request is None:
        return None
    end = head_bytes + request.content_length
    connection = _Connection(octets, head_bytes, end)
    environ = PlainAnswers(_Worker(), lambda _environ, _start: [])._environ(connection, request)  # type: ignore[arg-type]
    return environ, environ["wsgi.input"].read(), octets[end:], request.should_close()


class _Worker:
    cfg = CFG


class _Connection:
    def __init__(self, octets: bytes, head_bytes: int, end: int) -> None:
        self.body = octets[head_bytes:end]
        self.ends = ends_of(CLIENT, HERE, Client(b""))


def assert_alike(octets: bytes) -> bool:
    """Assert that what is plain is read as gunicorn reads it; tell whether it is plain."""
    plain = as_plain(octets)
    if plain is None:
        return False
    theirs = as_gunicorn_reads(octets)
    ours = {name: value for name, value in plain[0].items() if name != "lychgate.take_your_time"}
    for name in OBJECTS | {"gunicorn.socket"}:
        ours.pop(name, None)
        del theirs[0][name]
    assert ours == theirs[0]
    assert plain[1:] == theirs[1:]
    return True


@pytest.fixture(autouse=True)
def long_request_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the server sets it when it starts."""
    monkeypatch.setattr(gunicorn.http.message, "MAX_REQUEST_LINE", serving.MAX_REQUEST_LINE)


def head(*lines: str, first: str = "GET /page HTTP/1.1", host: str = "Host: h.example:81") -> bytes:
    return "\r\n".join([first, *([host] if host else []), *lines, "", ""]).encode("latin-1")


PLAIN = [
    head(),
    head("Accept:text/html", "Accept-Language: \t de ", "Cookie: a=b; c=\xe9", "X-Empty:"),
    head(first="HEAD /a?b=c?d HTTP/1.1"),
    head(first="GET /%61%2f%00%ff;x=1?%41+&&= HTTP/1.1"),
    head(first="GET /a//b/../c HTTP/1.1"),
    head(first="GET / HTTP/1.0"),
    head("Connection: close"),
    head("Connection: Keep-Alive", first="GET / HTTP/1.0"),
    head("Content-Length: 5", "Content-Type: text/plain", first="POST /form HTTP/1.1") + b"hello" + BEHIND,
    head("Content-Length: 0", first="DELETE /x HTTP/1.1") + BEHIND,
    head("Content-Length: 0005", first="PUT /x HTTP/1.1") + b"hello",
    head("Remote-User: carol@example.com", "Script-Name: /x", "X-Forwarded-Proto: https", "Te: trailers"),
    head(first="OPTIONS /x HTTP/1.1") + BEHIND,
]
NOT_PLAIN = {
    "two lengths": head("Content-Length: 5", "Content-Length: 5"),
    "length and chunks": head("Content-Length: 5", "Transfer-Encoding: chunked"),
    "chunks": head("Transfer-Encoding: chunked"),
    "signed length": head("Content-Length: +5"),
    "length in another script": head("Content-Length: \xb2"),
    "empty length": head("Content-Length:"),
    "list of lengths": head("Content-Length: 5, 5"),
    "a length in HTTP/1.0": head("Content-Length: 5", first="POST / HTTP/1.0"),
    "two hosts": head("Host: evil.example"),
    "two hosts, spelled differently": head("HOST: evil.example"),
    "no host": head(host=""),
    "any header twice": head("X-Original-URL: /a", "x-original-url: /b"),
    "two cookies": head("Cookie: a=b", "Cookie: c=d"),
    "underscore": head("X_Forwarded_User: carol"),
    "underscore beside a hyphen": head("X-A: 1", "X_A: 2"),
    "SCRIPT_NAME": head("SCRIPT_NAME: /page"),
    "folded": head("X-A: 1", " Remote-User: carol"),
    "space before the colon": head("Remote-User : carol"),
    "no colon": head("Remote-User"),
    "no name": head(": x"),
    "bare LF": head("X-A: 1\nRemote-User: carol"),
    "bare CR": head("X-A: 1\rRemote-User: carol"),
    "NUL": head("X-A: \0"),
    "DEL": head("X-A: \x7f"),
    "high octet in a name": head("Remote\xadUser: carol"),
    "expectation": head("Expect: 100-continue"),
    "upgrade": head("Upgrade: websocket", "Connection: Upgrade"),
    "connection option": head("Connection: keep-alive, Remote-User"),
    "absolute URL": head(first="GET http://evil.example/ HTTP/1.1"),
    "two slashes": head(first="GET //evil.example/ HTTP/1.1"),
    "fragment": head(first="GET /a#b HTTP/1.1"),
    "asterisk": head(first="OPTIONS * HTTP/1.1"),
    "CONNECT": head(first="CONNECT h:443 HTTP/1.1"),
    "small method": head(first="get / HTTP/1.1"),
    "octets in the path": head(first="GET /\xe9 HTTP/1.1"),
    "two spaces": head(first="GET  / HTTP/1.1"),
    "HTTP/2.0": head(first="PRI / HTTP/2.0"),
    "no version": head(first="GET /"),
    "empty line before": b"\r\n" + head(),
    "too long": head("X-A: " + "x" * MAX_HEAD),
    "too many": head(*(f"X-{number}: 1" for number in range(101))),
}


@pytest.mark.parametrize("octets", PLAIN)
def test_what_is_plain_means_the_same_to_gunicorn(octets: bytes) -> None:
    assert assert_alike(octets)


@pytest.mark.parametrize("octets", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_attack_what_could_be_read_in_two_ways_is_left_to_gunicorn(octets: bytes) -> None:
    assert as_plain(octets) is None


def test_names_of_headers_that_strangers_choose_fill_no_memory() -> None:
    from shared import plain_requests

    for number in range(2 * plain_requests._MAX_REMEMBERED):
        assert isinstance(read_plain(head(f"X-{number}: 1")), PlainRequest)
    assert len(plain_requests._keys) <= plain_requests._MAX_REMEMBERED


NAMES = st.one_of(
    st.sampled_from(
        ["Host", "host", "Content-Length", "Connection", "Cookie", "Transfer-Encoding", "Content-Type", "X-A"]
    ),
    st.text(st.characters(max_codepoint=255), max_size=8),
)
VALUES = st.one_of(
    st.sampled_from(["h", "5", "0", "close", "keep-alive", "chunked", "a=b", ""]),
    st.text(st.characters(max_codepoint=255), max_size=12),
)
TARGETS = st.one_of(st.just("/"), st.text(st.characters(max_codepoint=255), max_size=12).map("/".__add__))
METHODS = st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "CONNECT", "get"])
LINES = st.tuples(NAMES, st.sampled_from([": ", ":", " : ", ":\t"]), VALUES).map("".join)


@settings(max_examples=300, deadline=None)
@given(METHODS, TARGETS, st.sampled_from(["1.1", "1.0", "2.0"]), st.lists(LINES, max_size=5), st.booleans())
def test_whatever_comes_is_left_to_gunicorn_or_means_the_same(
    method: str, target: str, version: str, lines: list[str], hosted: bool
) -> None:
    host = "Host: h" if hosted else ""
    assert_alike(head(*lines, first=f"{method} {target} HTTP/{version}", host=host) + b"hello" + BEHIND)


PIECES = st.sampled_from(
    [
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b":",
        b"\t",
        b"\0",
        b"_",
        b"GET / HTTP/1.1",
        b"Host: h",
        b"\r\n\r\n",
        b"A",
        b"\xff",
        b"#",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLAIN), st.lists(st.tuples(st.integers(0, 200), PIECES, st.integers(0, 3)), max_size=4))
def test_a_plain_request_that_was_tampered_with_is_left_to_gunicorn_or_means_the_same(
    octets: bytes, changes: list[tuple[int, bytes, int]]
) -> None:
    for place, piece, cut in changes:
        octets = octets[:place] + piece + octets[place + cut :]
    assert_alike(octets)
