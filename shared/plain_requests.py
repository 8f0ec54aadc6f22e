"""Read the head of a plain request. Every parser reads a plain request in the same way.

Most requests are plain: they have one request line, a few headers with different names, and no body or a body of a
given length. This module reads these requests in a tenth of the time that gunicorn's parser needs. It never rejects a
request: if a request is doubtful, unusual or long, it is not plain, and gunicorn's parser reads it. The test
`tests/shared/test_plain_requests.py` compares this parser with gunicorn's. Pure code: it does no I/O and reads no
clock.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_to_bytes

MAX_HEAD = 8_190  # bytes: gunicorn's limit for one field, which is below its limit for the request line
MAX_FIELDS = 100  # gunicorn's own limit
_MAX_REMEMBERED, _MAX_REMEMBERED_LENGTH = 2_048, 64  # header names in a cache: strangers choose them

# The path must be printable ASCII. It has no "#", because gunicorn drops a fragment, and it does not begin with "//",
# because some parsers read a host there.
_REQUEST_LINE = re.compile(r"(GET|HEAD|POST|PUT|DELETE|PATCH|OPTIONS) (/(?!/)[!\"$-~]*|/) HTTP/1\.([01])\Z")
# A name has no underscore: gunicorn drops such headers, because X_Name and X-Name would be the same key.
_FIELD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*\Z")
_LENGTH = re.compile(r"[0-9]{1,15}\Z", re.ASCII)
_CONTROLS = bytes({*range(0x20), 0x7F} - {*b"\t\r\n"})
# Headers that may change where the request ends, or the protocol of the connection.
_NOT_PLAIN = frozenset(("TRANSFER-ENCODING", "EXPECT", "UPGRADE", "TRAILER", "HTTP2-SETTINGS", "PROXY-CONNECTION"))
_WITHOUT_PREFIX = ("CONTENT_TYPE", "CONTENT_LENGTH")

_keys: dict[str, str] = {}


class PlainRequest:
    """A request with the attributes that gunicorn's `Response` and error handler need, and an environ of its head."""

    __slots__ = ("content_length", "environ", "keeps_connection", "method", "uri", "version")

    body = None
    headers: tuple[tuple[str, str], ...] = ()  # for gunicorn's access log; our format uses no headers

    def __init__(self, method: str, uri: str, minor: int, headers: dict[str, str]) -> None:
        self.method, self.uri, self.version = method, uri, (1, minor)
        self.environ: dict[str, Any] = headers
        self.content_length = int(headers.get("CONTENT_LENGTH", 0))
        connection = headers.get("HTTP_CONNECTION", "").lower()
        self.keeps_connection = connection == "keep-alive" or (minor == 1 and connection != "close")
        path, _question, query = uri.partition("?")
        headers["REQUEST_METHOD"] = method
        headers["QUERY_STRING"] = query
        headers["RAW_URI"] = uri
        headers["SERVER_PROTOCOL"] = "HTTP/1.1" if minor else "HTTP/1.0"
        headers["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1") if "%" in path else path

    @property
    def query(self) -> str:
        """The query of the URL."""
        return str(self.environ["QUERY_STRING"])

    def should_close(self) -> bool:
        """Tell whether the client wants to close the connection after this request."""
        return not self.keeps_connection


def read_plain(head: bytes) -> PlainRequest | None:
    """Return the request of a complete *head*, up to and including the empty line, or None if it is not plain."""
    if len(head) > MAX_HEAD or head.translate(None, _CONTROLS) != head:
        return None
    lines = str(head, "latin-1").split("\r\n")
    if not len(lines) - 1 == head.count(b"\n") == head.count(b"\r") <= MAX_FIELDS + 2:
        return None  # a bare CR or LF, or too many lines
    found = _REQUEST_LINE.match(lines[0])
    if found is None:
        return None
    headers: dict[str, str] = {}
    for line in lines[1:-2]:
        name, colon, value = line.partition(":")
        key = _keys.get(name) or _key(name)
        if not key or not colon or key in headers:
            return None
        headers[key] = value.strip(" \t")
    if "HTTP_HOST" not in headers:
        return None
    if "CONTENT_LENGTH" in headers and (found[3] == "0" or not _LENGTH.match(headers["CONTENT_LENGTH"])):
        return None
    if headers.get("HTTP_CONNECTION", "close").lower() not in ("close", "keep-alive"):
        return None
    return PlainRequest(found[1], found[2], int(found[3]), headers)


def _key(name: str) -> str:
    """Return the key of a header in the environ, or an empty text if it is not plain."""
    upper = name.upper()
    if not _FIELD_NAME.match(name) or upper in _NOT_PLAIN:
        return ""
    key = upper.replace("-", "_")
    if key not in _WITHOUT_PREFIX:
        key = f"HTTP_{key}"
    if len(name) <= _MAX_REMEMBERED_LENGTH:
        if len(_keys) >= _MAX_REMEMBERED:
            _keys.clear()
        _keys[name] = key
    return key
