"""Parse the headers in which a proxy describes the request that it asks about.

Each kind of proxy has its own set of headers, and only that set is read. If both sets were read, a client could send
the set that its proxy does not overwrite. A missing, duplicate or malformed header is rejected. No value is guessed.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from sp.policy.raw_path import spelled
from sp.request.trusted_proxies import is_host

SCHEMES = ("http", "https", "ws", "wss")  # Traefik sends ws and wss for WebSockets

_METHOD = re.compile(r"[A-Za-z][A-Za-z-]{0,31}\Z")
_TARGET = re.compile(r"/[!\"$-~\x80-\xff]*\Z")  # no space, control character or #: parsers differ there
_URL = re.compile(r"(https?)://([^/?#]*)(/.*)\Z", re.DOTALL)  # the path must begin with /: no host ends in "?"
_SECOND = re.compile(r",\s*(?:/|[a-z]+://)", re.IGNORECASE)  # servers join two headers of one name by a comma


class Misreported(ValueError):
    """The proxy's headers do not describe a request. The text says what is wrong."""


@dataclass(frozen=True)
class Asked:
    """The request that a proxy asks about.

    `path` is decoded once. It is empty if it is not UTF-8. `raw_path` and `query` are not decoded. `spellings` contains
    the raw path in the form in which rules are checked (`sp.policy.raw_path`), but only if that form differs from
    `path`.
    """

    method: str
    host: str
    path: str
    raw_path: str
    query: str
    spellings: tuple[str, ...] = ()


def read_nginx(environ: Mapping[str, Any], only_host: str) -> Asked:
    """Return the request that nginx's auth_request asks about. Raises Misreported.

    X-Original-URL is $scheme://$http_host$request_uri, or $request_uri alone. A $request_uri alone is a URL at
    *only_host*. If there are several sites, *only_host* is empty, and $request_uri alone is rejected.
    """
    method = _method(_header(environ, "X-Original-Method"))
    url = _header(environ, "X-Original-URL")
    if found := _URL.match(url):
        return _asked(method, _host(found[2]), found[3])
    if not only_host:
        raise Misreported("X-Original-URL has no host, and there are several sites: $scheme://$http_host$request_uri")
    return _asked(method, only_host, url)


def read_forward(environ: Mapping[str, Any]) -> Asked:
    """Return the request that Caddy's forward_auth or Traefik's ForwardAuth asks about. Raises Misreported."""
    if _header(environ, "X-Forwarded-Proto").lower() not in SCHEMES:
        raise Misreported("X-Forwarded-Proto is not http or https")
    method = _method(_header(environ, "X-Forwarded-Method"))
    host = _host(_header(environ, "X-Forwarded-Host"))
    return _asked(method, host, _header(environ, "X-Forwarded-Uri"))


def _header(environ: Mapping[str, Any], name: str) -> str:
    value: str = environ.get("HTTP_" + name.upper().replace("-", "_"), "")
    if not value:
        raise Misreported(f"{name} is missing")
    return value


def _method(method: str) -> str:
    if not _METHOD.match(method):
        raise Misreported("the method is none")
    return method.upper()


def _host(host: str) -> str:
    if not is_host(host):
        raise Misreported("the host is invalid")
    return host.lower()


def _asked(method: str, host: str, target: str) -> Asked:
    if not _TARGET.match(target):
        raise Misreported("the URL is invalid")
    if _SECOND.search(target):
        raise Misreported("there are two URLs")
    raw_path, _question, query = target.partition("?")
    path, spelling = _decode(raw_path), spelled(raw_path)
    return Asked(method, host, path, raw_path, query, () if spelling == path else (spelling,))


def _decode(raw_path: str) -> str:
    try:
        return unquote_to_bytes(raw_path.encode("latin-1")).decode("utf-8")
    except UnicodeError:
        return ""
