"""Accept forwarded headers from trusted proxies only, which the socket's peer IP identifies.

Pure. A header says who sent a request, and anyone can write one; the peer's address is what the kernel saw. So trust
is decided before anything is read, and what a client wrote into X-Forwarded-For itself is never reached: the list is
walked from its end, past further trusted proxies.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from shared.settings import Network, is_loopback

_MAX_REMEMBERED = 4096  # addresses
_HOST = re.compile(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?\Z")


class Peers:
    """The proxies that SP_TRUSTED_PROXIES names. An answer is remembered: it is asked for at every request."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)
        self._known: dict[str, bool] = {}

    def include(self, ip: str) -> bool:
        """Tell whether *ip* is a trusted proxy's."""
        if not self._trusted:
            return False
        verdict = self._known.get(ip)
        if verdict is None:
            verdict = self._judge(ip)
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[ip] = verdict
        return verdict

    def _judge(self, ip: str) -> bool:
        peer = _parse(ip)
        return peer is not None and any(peer in network for network in self._trusted)

    def believe(self, environ: MutableMapping[str, Any]) -> None:
        """Put what a trusted proxy says of client, scheme and host where applications look for it."""
        environ["REMOTE_ADDR"] = self.client(environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", ""))
        scheme = _last(environ.get("HTTP_X_FORWARDED_PROTO", "")).lower()
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        if found := _HOST.match(host := _last(environ.get("HTTP_X_FORWARDED_HOST", ""))):
            environ["HTTP_HOST"] = host
            environ["SERVER_NAME"] = found[1]
            environ["SERVER_PORT"] = found[2] or ("443" if environ["wsgi.url_scheme"] == "https" else "80")

    def client(self, peer: str, forwarded_for: str) -> str:
        """Return the nearest address that is not a trusted proxy's; *peer* is where the list ends."""
        ip = peer
        for earlier in reversed(forwarded_for.split(",")):
            if not self.include(ip) or _parse(earlier.strip()) is None:
                break
            ip = earlier.strip()
        return ip


class OwnHost:
    """The name that people reach us by, from SP_EXTERNAL_URL.

    Ports are not compared: cookies do not respect them either, and half of all proxies pass the name alone. Where the
    name is this machine's own, its other names will do. Only where the URL is a guess (*is_guess*), a request for
    another port shows that the guess is wrong.
    """

    def __init__(self, external_url: str, *, is_guess: bool = False) -> None:
        self.external_url, self.is_guess = external_url, is_guess
        parts = urlsplit(external_url)
        self.netloc = parts.netloc
        self._name = (parts.hostname or "").rstrip(".")
        self._port = parts.port or 80  # compared for a guess only, which is http

    def is_meant_by(self, host: str) -> bool:
        """Tell whether a Host header means us."""
        return host == self.netloc or self._is_same(host)

    def _is_same(self, host: str) -> bool:
        found = _HOST.match(host)
        if found is None:
            return False
        if self.is_guess and int(found[2] or 80) != self._port:
            return False
        name = found[1].strip("[]").lower().removesuffix(".")  # one dot is the name's root, more are no name
        return name == self._name or (is_loopback(name) and is_loopback(self._name))


def is_host(text: str) -> bool:
    """Tell whether *text* is a host with or without a port, and nothing else."""
    return _HOST.match(text) is not None


def is_this_machine(ip: str) -> bool:
    """Tell whether a peer's *ip* is this machine's own."""
    parsed = _parse(ip)
    return parsed is not None and parsed.is_loopback


def _parse(ip: str) -> Any:
    """Return the address, a mapped IPv4 one (::ffff:10.0.0.1) as such, or None."""
    try:
        parsed = ip_address(ip)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _last(values: str) -> str:
    """Return the last of several values: the one that the nearest proxy has added."""
    return values.rpartition(",")[2].strip()
