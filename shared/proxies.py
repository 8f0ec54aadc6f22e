"""Determine a client's IP behind trusted proxies.

Anyone can send a header that names an IP, but the peer's IP comes from the kernel. So X-Forwarded-For is read only if
the peer is a trusted proxy. Its list is read from the end. IPs of trusted proxies are skipped, and the first IP that is
not trusted is the client's. All entries before the client's IP may be forged. Pure code: it does no I/O and reads no
clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from shared.settings import Network

MAX_REMEMBERED = 4096  # IPs in the cache; it is bounded, because anyone may connect to a public port


class TrustedProxies:
    """The proxies that a setting names. Results are cached, because every request needs one."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)
        self.include: Callable[[str], bool] = lru_cache(MAX_REMEMBERED)(self._is_trusted)
        """Tell whether an IP is a trusted proxy's."""

    def client(self, peer: str, forwarded_for: str) -> str:
        """Return the nearest IP that is not a trusted proxy's. *peer* counts as the last entry of the list.

        The search ends before the first entry that is not an IP. If it finds only trusted proxies, the result is the
        last IP that it has read.
        """
        if not forwarded_for:
            return peer
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
