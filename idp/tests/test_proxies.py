"""Whose word on the client's address is believed."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from idp.proxies import client_ip

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.5", "203.0.113.5"),  # the first was written by the client
        ("10.0.0.1", "203.0.113.5, 10.0.0.2", "203.0.113.5"),  # through two of our proxies
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # the peer is no proxy of ours
        ("203.0.113.9", "10.0.0.1", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.5, nonsense", "10.0.0.1"),
        ("2001:db8::1", "2001:db9::7", "2001:db9::7"),
        ("", "203.0.113.5", ""),
        ("::ffff:10.0.0.1", "203.0.113.5", "203.0.113.5"),  # a program bound to :: sees IPv4 peers like this
        ("::ffff:203.0.113.9", "198.51.100.1", "::ffff:203.0.113.9"),
        ("fe80::1%eth0", "203.0.113.5", "fe80::1%eth0"),
    ],
)
def test_the_client_is_the_nearest_address_that_is_no_proxy_of_ours(peer: str, forwarded_for: str, client: str) -> None:
    assert client_ip(peer, forwarded_for, TRUSTED) == client


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert client_ip("127.0.0.1", "203.0.113.5", []) == "127.0.0.1"
