"""Read an ASGI scope as the environ of WSGI, in which requests are decided, and write a decided environ back.

The environ has the metadata of a request only. Header lines of one name are joined as servers join them, so that
a doubled header is as invalid here as there. A header whose name has an underscore, or is not a name at all, is
dropped, as nginx and gunicorn do: some frameworks read `X_Name` as `X-Name`, so one of two could hide the other.

A path that cannot be read in one way only is marked so that every rule rejects it: bytes that are not UTF-8 (servers
replace them, so the application would see another path than the client sent), and a path that begins with the letters
of the mount point but is not below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from shared.request_ids import IN_ENVIRON

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Scope = MutableMapping[str, Any]
RawHeaders = list[tuple[bytes, bytes]]

HTTP, WEBSOCKET = "http", "websocket"
USER = "lychgate.user"  # the key of the scope that holds the person
_OURS = ("lychgate.", "sso.")  # beginnings of keys that only the gateway may set
_NAME = re.compile(rb"[!#$%&'*+.^`|~0-9A-Za-z-]+\Z")  # RFC 9110, section 5.6.2, without the underscore
_WITHOUT_PREFIX = {"CONTENT_TYPE", "CONTENT_LENGTH"}  # PEP 3333
_NOT_UTF8 = "\xff"  # as PATH_INFO it cannot be decoded, so it is no path
_SCHEMES = {"ws": "http", "wss": "https"}
MAX_REMEMBERED = 4096  # names of headers; strangers choose them
MAX_REMEMBERED_LENGTH = 100  # bytes of each


def environ_of(scope: Scope) -> WSGIEnvironment:
    """Return the metadata of a request as an environ. `lychgate.` and `sso.` keys of the scope are not in it."""
    client, server = scope.get("client") or ("", 0), scope.get("server") or ("", 0)
    mount, path = _split(scope.get("root_path") or "", scope["path"])
    scheme = scope.get("scheme") or "http"
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.get("method", "GET"),
        "SCRIPT_NAME": mount,
        "PATH_INFO": path,
        "QUERY_STRING": scope.get("query_string", b"").decode("latin-1"),
        "REMOTE_ADDR": client[0] or "",
        "SERVER_NAME": server[0] or "",
        "SERVER_PORT": str(server[1] or ""),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "wsgi.url_scheme": _SCHEMES.get(scheme, scheme),
    }
    if (raw_path := scope.get("raw_path")) is not None:
        environ["RAW_URI"] = raw_path.decode("latin-1")
    for name, value in scope["headers"]:
        key = key_of(name)
        if key in environ:
            environ[key] += ("; " if key == "HTTP_COOKIE" else ",") + value.decode("latin-1")
        elif key:
            environ[key] = value.decode("latin-1")
    if scope["type"] == WEBSOCKET:
        environ["HTTP_UPGRADE"] = "websocket"  # over HTTP/2 a handshake has no such header
    return environ


def scope_for_application(scope: Scope, environ: Mapping[str, Any], written: Iterable[str]) -> Scope:
    """Return a copy of *scope* as the application may see it, after *environ* was decided.

    A header stays if its key is still in *environ*. Those of *written* are taken from there.
    """
    inner = {key: value for key, value in scope.items() if not key.startswith(_OURS)}
    others = environ.keys() - set(written)
    headers = [line for line in scope["headers"] if key_of(line[0]) in others]
    headers += [(name_of(key), environ[key].encode("latin-1")) for key in written if key in environ]
    inner["headers"], inner[USER] = headers, environ.get("sso.user")
    _tell_of_proxies(inner, environ)
    return inner


def written_keys(header_names: Iterable[str]) -> tuple[str, ...]:
    """Return the keys of headers that the gateway may have changed: its own, and identity headers of these names."""
    return ("HTTP_HOST", "HTTP_COOKIE", IN_ENVIRON, *(_key_of(name.encode()) for name in header_names))


def key_of(name: bytes) -> str:
    """Return the environ key of a header; an empty text for one that is dropped."""
    return _remembered(name) if len(name) <= MAX_REMEMBERED_LENGTH else _key_of(name)


def _key_of(name: bytes) -> str:
    if not _NAME.match(name):
        return ""
    key = name.decode("ascii").upper().replace("-", "_")
    return key if key in _WITHOUT_PREFIX else f"HTTP_{key}"


_remembered = lru_cache(MAX_REMEMBERED)(_key_of)


@lru_cache(64)
def name_of(key: str) -> bytes:
    """Return a header's name as ASGI spells it."""
    return key.removeprefix("HTTP_").replace("_", "-").lower().encode("ascii")


def _split(mount: str, path: str) -> tuple[str, str]:
    """Return SCRIPT_NAME and PATH_INFO, as PEP 3333 spells them. Servers put *mount* before *path*, or leave it out."""
    mount = mount.rstrip("/")
    below = path.removeprefix(mount) if mount else path
    if path.isascii() and mount.isascii():
        return mount, below
    try:
        octets = below.encode()
    except UnicodeEncodeError:
        return "", _NOT_UTF8
    return mount.encode("utf-8", "replace").decode("latin-1"), _NOT_UTF8 if "\ufffd" in path else octets.decode(
        "latin-1"
    )


def _tell_of_proxies(inner: dict[str, Any], environ: Mapping[str, Any]) -> None:
    """Set client, server and scheme as a trusted proxy reported them."""
    client, ip = inner.get("client"), environ["REMOTE_ADDR"]
    if ip and (client is None or client[0] != ip):
        inner["client"] = (ip, 0)
    server, name = inner.get("server"), environ["SERVER_NAME"]
    if name and (server is None or server[0] != name):
        inner["server"] = (name, int(environ["SERVER_PORT"]))
    scheme = environ["wsgi.url_scheme"]
    if inner["type"] == WEBSOCKET:
        scheme = {"http": "ws", "https": "wss"}.get(scheme, scheme)
    if "scheme" in inner:
        inner["scheme"] = scheme
