"""Which proxies are trusted to name the client's IP."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from idp.proxies import ClientIP

TRUSTED = [ip_network("10.0.0.0/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("10.0.0.1", "198.51.100.1, 203.0.113.5", "203.0.113.5"),  # the first was written by the client
        ("10.0.0.1", "203.0.113.5, 10.0.0.2", "203.0.113.5"),  # through two of our proxies
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # the peer is not one of our proxies
        ("10.0.0.1", None, "10.0.0.1"),
    ],
)
def test_the_program_sees_the_nearest_ip_that_is_not_a_trusted_proxy(
    peer: str, forwarded_for: str | None, client: str
) -> None:
    environ: dict[str, Any] = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_PROTO": "https", "wsgi.url_scheme": "http"}
    if forwarded_for is not None:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded_for
    seen: dict[str, Any] = {}
    ClientIP(lambda environ, _start: seen.update(environ) or [], TRUSTED)(environ, lambda *_: print)
    assert (seen["REMOTE_ADDR"], seen["wsgi.url_scheme"]) == (client, "http")
