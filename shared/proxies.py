"""Determine a client's IP behind trusted proxies. Pure.

A header says who sent a request, and anyone can write one; the peer's IP is what the kernel saw. So trust is decided
before X-Forwarded-For is read, and what a client wrote into it is never reached: the list is walked from its end,
past further trusted proxies.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from shared.settings import Network

MAX_REMEMBERED = 4096  # IPs; peers of a public port are strangers, so what is remembered of them is bounded


class TrustedProxies:
    """The proxies that a setting names. An answer is remembered: it is needed at every request."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)
        self._remembered = lru_cache(MAX_REMEMBERED)(self._is_trusted)

    def include(self, ip: str) -> bool:
        """Tell whether *ip* is a trusted proxy's."""
        return bool(self._trusted) and self._remembered(ip)

    def client(self, peer: str, forwarded_for: str) -> str:
        """Return the nearest IP that is not a trusted proxy's; *peer* is where the list ends."""
        ip = peer
        for earlier in reversed(forwarded_for.split(",")):
            if not self.include(ip) or parse_ip(earlier.strip()) is None:
                break
            ip = earlier.strip()
        return ip

    def _is_trusted(self, ip: str) -> bool:
        parsed = parse_ip(ip)
        return parsed is not None and any(parsed in network for network in self._trusted)


def parse_ip(text: str) -> IPv4Address | IPv6Address | None:
    """Return the IP, with IPv4 in IPv6 form (::ffff:10.0.0.1) converted to IPv4, or None if *text* is not an IP."""
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    return parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed
