"""Determine the IP of a client behind trusted proxies.

Only X-Forwarded-For is read, and only if the socket's peer is trusted; from there the list is walked from its end
past further trusted proxies, so a value that the client sent itself is never used. Scheme and host come from
IDP_EXTERNAL_URL, so X-Forwarded-Proto and -Host are ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from shared.settings import Network

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class TrustedProxies:
    """WSGI middleware that puts the client's IP into REMOTE_ADDR."""

    def __init__(self, app: WSGIApplication, trusted: Sequence[Network]) -> None:
        self._app = app
        self._trusted = trusted

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass the request on."""
        peer, forwarded_for = environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", "")
        environ["REMOTE_ADDR"] = client_ip(peer, forwarded_for, self._trusted)
        return self._app(environ, start_response)


def client_ip(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """Return the nearest IP that does not belong to a trusted proxy."""
    ip = peer
    for earlier in reversed(forwarded_for.split(",")):
        if not _is_trusted(ip, trusted) or _parse(earlier.strip()) is None:
            break
        ip = earlier.strip()
    return ip


def _is_trusted(ip: str, trusted: Sequence[Network]) -> bool:
    parsed = _parse(ip)
    return parsed is not None and any(parsed in network for network in trusted)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """Return the IP, with IPv4 in IPv6 form (::ffff:10.0.0.1) converted to IPv4, or None if *text* is not an IP."""
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    return parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed
