"""Find the raw path of the request line, if the server provides it. The rules must allow the raw path too.

PATH_INFO is decoded, so `/public%2fx` looks like `/public/x` in it. But for an application that routes by the raw path,
`public%2fx` is one segment. The application would serve a different page than the one that the rule was checked for.
gunicorn provides the raw path in RAW_URI, and other servers in REQUEST_URI. No header can set these keys. In
forward-auth, the proxy always sends the raw path.

In the raw path, only those bytes are decoded that a URL cannot contain unencoded, so that a rule for `/café/` can
match. Letters and slashes that were unnecessarily encoded stay encoded, so a rule that names them does not match.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")  # RFC 9112, section 3.2.2
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_OCTET = re.compile(r"%[0-9A-Fa-f]{2}|.", re.DOTALL)
# RFC 3986, section 3.3: characters that a path may contain unencoded.
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/")


def other_spellings(environ: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """Return the server's raw paths that differ from *path*, which is decoded once.

    The result is empty if the server does not provide the raw path.
    """
    raw, request_uri = environ.get("RAW_URI", path), environ.get("REQUEST_URI", path)
    if raw == path and request_uri == path:
        return ()
    told = (target for target in (raw, request_uri) if target != path and target.partition("?")[0] != path)
    return tuple({_below_mount(_path_of(target), environ) for target in told} - {path})


def spelled(raw_path: str) -> str:
    """Return *raw_path* (bytes as latin-1) as text. Percent-encoding is decoded only if a URL needs it."""
    try:
        octets = raw_path.encode("latin-1")
    except UnicodeError:
        return ""  # not bytes as latin-1, which servers pass; every rule rejects an empty path
    return _ESCAPE.sub(_decode_what_needs_it, octets).decode("utf-8", "replace")


def _path_of(target: str) -> str:
    """Return the path of a request *target*, which may be an absolute URL."""
    if found := _ABSOLUTE.match(target):
        target = target[found.end() :]
        target = target if target.startswith("/") else f"/{target}"
    return target.partition("?")[0]


def _below_mount(raw_path: str, environ: Mapping[str, Any]) -> str:
    """Return *raw_path* as `spelled` does, without the SCRIPT_NAME at its beginning.

    The SCRIPT_NAME is removed only if the decoded raw path is SCRIPT_NAME followed by PATH_INFO.

    The application may be mounted below another path (SCRIPT_NAME). Rules apply to the path that the application sees,
    and PATH_INFO does not contain the SCRIPT_NAME either.
    """
    mount = environ.get("SCRIPT_NAME", "")
    if mount and _decoded(raw_path) == mount + environ.get("PATH_INFO", ""):
        raw_path = "".join(_OCTET.findall(raw_path)[len(mount) :]) or "/"
    return spelled(raw_path)


def _decoded(raw_path: str) -> str:
    return unquote_to_bytes(raw_path.encode("latin-1", "replace")).decode("latin-1")


def _decode_what_needs_it(escape: re.Match[bytes]) -> bytes:
    octet = int(escape[1], 16)
    return escape[0] if octet in _PLAIN else bytes((octet,))
