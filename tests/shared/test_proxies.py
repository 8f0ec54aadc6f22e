"""Which proxies are trusted to name the client's IP: the same in both programs, and in their settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

import idp.config
import sp.config
from idp.proxies import ClientIP
from shared.proxies import MAX_REMEMBERED, TrustedProxies
from shared.settings import Network, SettingsRefused
from sp.request.trusted_proxies import Peers

Way = Callable[[str, str, Sequence[Network]], str]
TRUSTED = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


def by_the_gateway(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded_for, "wsgi.url_scheme": "http"}
    Peers(trusted).believe(environ)
    return environ["REMOTE_ADDR"]


def by_the_identity_provider(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    environ: dict[str, Any] = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded_for}
    ClientIP(lambda _environ, _start: [], trusted)(environ, lambda *_: print)
    return str(environ["REMOTE_ADDR"])


each_program = pytest.mark.parametrize("client_of", [by_the_gateway, by_the_identity_provider])
each_setting = pytest.mark.parametrize(
    ("load", "name"), [(sp.config.load, "SP_TRUSTED_PROXIES"), (idp.config.load, "IDP_TRUSTED_PROXIES")]
)


@each_program
@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.5", "203.0.113.5"),  # the first was written by the client
        ("10.0.0.1", "203.0.113.5, 10.0.0.2", "203.0.113.5"),  # through two of our proxies
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),  # all of them are ours
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # the peer is not one of our proxies
        ("203.0.113.9", "10.0.0.1", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.5, nonsense", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.5,", "10.0.0.1"),
        ("2001:db8::1", "2001:db9::7", "2001:db9::7"),
        ("", "203.0.113.5", ""),
        ("::ffff:10.0.0.1", "203.0.113.5", "203.0.113.5"),  # a program bound to :: sees IPv4 peers like this
        ("::ffff:203.0.113.9", "198.51.100.1", "::ffff:203.0.113.9"),
        ("fe80::1%eth0", "203.0.113.5", "fe80::1%eth0"),
    ],
)
def test_the_client_is_the_nearest_ip_that_is_not_a_trusted_proxy(
    client_of: Way, peer: str, forwarded_for: str, client: str
) -> None:
    assert client_of(peer, forwarded_for, TRUSTED) == client


@each_program
def test_without_trusted_proxies_no_header_is_believed(client_of: Way) -> None:
    assert client_of("127.0.0.1", "203.0.113.5", ()) == "127.0.0.1"


def test_attack_peers_of_many_ips_do_not_fill_the_memory() -> None:
    proxies = TrustedProxies(TRUSTED)
    for number in range(MAX_REMEMBERED + 100):
        proxies.include(f"2001:db9::{number:x}")
    assert proxies.include.cache_info().currsize == MAX_REMEMBERED  # type: ignore[attr-defined]
    assert proxies.include("10.0.0.1")
    assert not proxies.include("2001:db9::1")


@each_setting
@pytest.mark.parametrize(
    ("network", "complaint"),
    [
        ("0.0.0.0/0", "would trust every IP address"),
        ("::/0", "would trust every IP address"),
        ("0.0.0.0/1", "is too broad"),
        ("10.0.0.0/7", "is too broad"),
        ("fc00::/6", "is too broad"),
        ("10.0.0.1/8", "is not an IP address or network"),
        ("everyone", "is not an IP address or network"),
    ],
)
def test_a_network_of_strangers_cannot_be_trusted(
    load: Callable[[Mapping[str, str]], Any], name: str, network: str, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsRefused) as refused:
        load({name: network, f"{name.partition('_')[0]}_INSTANCE": str(tmp_path)})
    assert len(refused.value.mistakes) == 1
    assert refused.value.mistakes[0].startswith(f"{name} '{network}' {complaint}")


@each_setting
def test_the_widest_private_networks_can_be_trusted(
    load: Callable[[Mapping[str, str]], Any], name: str, tmp_path: Path
) -> None:
    config = load({name: "10.0.0.0/8, fc00::/7", f"{name.partition('_')[0]}_INSTANCE": str(tmp_path)})
    assert config.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("fc00::/7"))
