"""Accept forwarded headers only from trusted proxies. The IP of the socket's peer identifies a proxy.

`shared.proxies` decides which proxies to trust, and finds out the client's IP. This module reads the scheme and the
host that a proxy reports, and compares a host with the gateway's own host name.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from shared.proxies import TrustedProxies, parse_ip
from shared.settings import is_loopback

_HOST = re.compile(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?\Z")


class Peers(TrustedProxies):
    """The proxies that SP_TRUSTED_PROXIES names."""

    def believe(self, environ: MutableMapping[str, Any]) -> None:
        """Set client, scheme and host in the environ as a trusted proxy reports them."""
        environ["REMOTE_ADDR"] = self.client(environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", ""))
        scheme = _last(environ.get("HTTP_X_FORWARDED_PROTO", "")).lower()
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        if found := _HOST.match(host := _last(environ.get("HTTP_X_FORWARDED_HOST", ""))):
            environ["HTTP_HOST"] = host
            environ["SERVER_NAME"] = found[1]
            environ["SERVER_PORT"] = found[2] or ("443" if environ["wsgi.url_scheme"] == "https" else "80")


class OwnHost:
    """The host name under which people reach the gateway, from SP_EXTERNAL_URL.

    Ports are not compared, because cookies ignore ports too, and many proxies pass only the name. If SP_EXTERNAL_URL
    has a loopback host, such as localhost, every other loopback host is accepted too. If the URL is a guess
    (*is_guess*), the port is compared, because a request for another port shows that the guess is wrong.
    """

    def __init__(self, external_url: str, *, is_guess: bool = False) -> None:
        self.external_url, self.is_guess = external_url, is_guess
        parts = urlsplit(external_url)
        self.netloc = parts.netloc
        self._name = (parts.hostname or "").rstrip(".")
        self._port = parts.port or 80  # compared only for a guess, whose scheme is http

    def is_meant_by(self, host: str) -> bool:
        """Tell whether a Host header names the gateway."""
        return host == self.netloc or self._is_same(host)

    def _is_same(self, host: str) -> bool:
        found = split_host(host)
        if found is None:
            return False
        name, port = found
        if self.is_guess and int(port or 80) != self._port:
            return False
        return name == self._name or (is_loopback(name) and is_loopback(self._name))


def split_host(host: str) -> tuple[str, str] | None:
    """Return the name and the port of a Host header, for comparison, or None if it is invalid. A missing port is empty.

    One dot at the end of the name is dropped, because it is the DNS root. Further dots stay, and match no host.
    """
    found = _HOST.match(host)
    return (found[1].strip("[]").lower().removesuffix("."), found[2] or "") if found else None


def is_host(text: str) -> bool:
    """Tell whether *text* is a valid host, with or without a port, and nothing more."""
    return _HOST.match(text) is not None


def is_this_machine(ip: str) -> bool:
    """Tell whether a peer's *ip* belongs to this machine."""
    parsed = parse_ip(ip)
    return parsed is not None and parsed.is_loopback


def _last(values: str) -> str:
    """Return the last of several values. The nearest proxy added it."""
    return values.rpartition(",")[2].strip()
