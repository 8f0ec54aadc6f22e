"""Convert an ASGI scope to a WSGI environ for the decision, and write the decided environ back into a scope.

The environ has only the metadata of a request. Header lines with the same name are joined as WSGI servers join them, so
duplicate headers are rejected as in WSGI. A header is dropped if its name is invalid or has an underscore; nginx and
gunicorn do the same. Some frameworks read `X_Name` as `X-Name`, so the header with the underscore could replace the
other one.

Two kinds of paths are converted to a PATH_INFO that every rule rejects. The first kind is not valid UTF-8: servers
replace the invalid bytes, so the application would see a path that the client did not send. The second kind begins with
the letters of the mount point but is not below it, such as `/apple` for the mount point `/app`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from shared.request_ids import HEADER

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Scope = MutableMapping[str, Any]
RawHeaders = list[tuple[bytes, bytes]]

HTTP, WEBSOCKET = "http", "websocket"
USER = "lychgate.user"  # the key of the scope whose value is the signed-in person
_OURS = ("lychgate.", "sso.")  # beginnings of keys that only the gateway may set
_NAME = re.compile(rb"[!#$%&'*+.^`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2, without the underscore
_WITHOUT_PREFIX = {"CONTENT_TYPE", "CONTENT_LENGTH"}  # PEP 3333
_NOT_UTF8 = "\xff"  # cannot be decoded as PATH_INFO, so every rule rejects it
_SCHEMES = {"ws": "http", "wss": "https"}
_WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss"}
# The usual keys of a scope (ASGI, version 3). Other keys are rare.
_USUAL = frozenset(
    (
        *("type", "asgi", "http_version", "server", "client", "scheme", "method", "path", "raw_path"),
        *("query_string", "root_path", "headers", "state", "extensions", "subprotocols"),
    )
)
MAX_LINES = 200  # header lines; over HTTP/2 each cookie may have its own line
MAX_HEADERS = 65_536  # bytes of their names and values
MAX_REMEMBERED = 4096  # names of headers; limited because strangers choose them
MAX_REMEMBERED_LENGTH = 100  # bytes of each name


class HeadersTooLarge(Exception):
    """The headers of a request have more than MAX_LINES lines or MAX_HEADERS bytes."""


def environ_of(scope: Scope) -> WSGIEnvironment:
    """Return the metadata of a request as an environ. Raises HeadersTooLarge.

    Only keys that ASGI defines are read, so keys that begin with `lychgate.` or `sso.` are not copied.
    """
    if len(scope["headers"]) > MAX_LINES:
        raise HeadersTooLarge
    client, server = scope.get("client") or ("", 0), scope.get("server") or ("", 0)
    mount, path = scope.get("root_path") or "", scope["path"]
    if mount or not path.isascii():
        mount, path = _split(mount, path)
    scheme = scope.get("scheme") or "http"
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.get("method", "GET"),
        "SCRIPT_NAME": mount,
        "PATH_INFO": path,
        "QUERY_STRING": scope.get("query_string", b"").decode("latin-1"),
        "REMOTE_ADDR": client[0] or "",
        "SERVER_NAME": server[0] or "",
        "SERVER_PORT": str(server[1] or ""),
        "SERVER_PROTOCOL": "HTTP/" + scope.get("http_version", "1.1"),
        "wsgi.url_scheme": _SCHEMES.get(scheme, scheme),
    }
    if (raw_path := scope.get("raw_path")) is not None:
        environ["RAW_URI"] = raw_path.decode("latin-1")
    keys, size = _keys, 0
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        key = keys[name]
        if key in environ:
            if size > MAX_HEADERS:  # stop before many long lines of one name are joined again and again
                raise HeadersTooLarge
            environ[key] += ("; " if key == "HTTP_COOKIE" else ",") + value.decode("latin-1")
        elif key:
            environ[key] = value.decode("latin-1")
    if size > MAX_HEADERS:
        raise HeadersTooLarge
    if scope["type"] == WEBSOCKET:
        environ["HTTP_UPGRADE"] = "websocket"  # over HTTP/2 the handshake does not have this header
    return environ


def scope_for_application(scope: Scope, environ: Mapping[str, Any], written: Written) -> Scope:
    """Return a copy of *scope* for the application, after the decision about *environ*.

    A header is copied if its key is still in *environ*. The headers of *written* get their values from *environ*.
    """
    inner = dict(scope)
    if not _USUAL.issuperset(scope):
        inner = {key: value for key, value in scope.items() if not key.startswith(_OURS)}
    keys = written.keys_of_others
    headers = [line for line in scope["headers"] if keys[line[0]] in environ]
    for key, name in written.headers:
        if key in environ:
            headers.append((name, environ[key].encode("latin-1")))
    inner["headers"], inner[USER] = headers, environ.get("sso.user")
    return inner


def tell_of_proxy(inner: Scope, environ: Mapping[str, Any]) -> None:
    """Set client, server and scheme as a trusted proxy reported them."""
    client, ip = inner.get("client"), environ["REMOTE_ADDR"]
    if ip and (client is None or client[0] != ip):
        inner["client"] = (ip, 0)
    server, name = inner.get("server"), environ["SERVER_NAME"]
    if name and (server is None or server[0] != name):
        inner["server"] = (name, int(environ["SERVER_PORT"]))
    scheme = environ["wsgi.url_scheme"]
    if inner["type"] == WEBSOCKET:
        scheme = _WEBSOCKET_SCHEMES.get(scheme, scheme)
    if "scheme" in inner:
        inner["scheme"] = scheme


def key_of(name: bytes) -> str:
    """Return the environ key of a header, or an empty text if the header is dropped."""
    if not _NAME.fullmatch(name):
        return ""
    key = name.decode("ascii").upper().replace("-", "_")
    return key if key in _WITHOUT_PREFIX else f"HTTP_{key}"


class Keys(dict[bytes, str]):
    """The environ keys of headers by header name. Keys are cached.

    The value is an empty text if the header is dropped, or if its key is in *without*.
    """

    def __init__(self, without: Collection[str] = ()) -> None:
        super().__init__()
        self._without = without

    def __missing__(self, name: bytes) -> str:
        key = key_of(name)
        if key in self._without:
            key = ""
        if len(name) <= MAX_REMEMBERED_LENGTH:
            if len(self) >= MAX_REMEMBERED:
                self.clear()
            self[name] = key
        return key


_keys = Keys()


class Written:
    """The headers that the gateway may have changed: Host, Cookie, X-Request-ID, and the given identity headers."""

    def __init__(self, header_names: Iterable[str]) -> None:
        names = ("host", "cookie", HEADER, *header_names)
        self.headers = tuple((key_of(name.encode()), name.lower().encode()) for name in names)
        self.keys_of_others = Keys(without=frozenset(key for key, _name in self.headers))


def _split(mount: str, path: str) -> tuple[str, str]:
    """Return SCRIPT_NAME and PATH_INFO in the encoding of PEP 3333 (bytes as latin-1).

    Some servers put *mount* before *path*, others do not. Both forms are accepted.
    """
    mount = mount.rstrip("/")
    below = path.removeprefix(mount) if mount else path
    if path.isascii() and mount.isascii():
        return mount, below
    try:
        octets = below.encode()
    except UnicodeEncodeError:
        return "", _NOT_UTF8
    below = _NOT_UTF8 if "\ufffd" in path else octets.decode("latin-1")
    return mount.encode("utf-8", "replace").decode("latin-1"), below
