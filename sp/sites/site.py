"""Describe a site, and find the site that a request is for by its host.

*Home* is the site of SP_EXTERNAL_URL: sign-in, settings and accounts live there. Further sites are listed in SP_CONFIG.
A host that is not listed belongs to no site.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from sp.policy.decision import Rule
from sp.redirects import own_origin
from sp.request.trusted_proxies import OwnHost, split_host
from sp.routes import HOME as HOME

MAX_REMEMBERED = 1024  # Host headers; strangers choose them
MAX_REMEMBERED_LENGTH = 300  # characters of each
_STANDARD_PORT = {"http": "80", "https": "443"}


@dataclass(frozen=True)
class Site:
    """One site. `url` is its origin. `app` names the application that is protected in process, as SP_APP does.

    If `identity_headers` is None, SP_IDENTITY_HEADERS applies. An empty `provider` means the default provider.
    `cookie_suffix` distinguishes the session cookies of sites on one host name, because browsers send a cookie to every
    port.
    """

    name: str
    url: str
    rules: tuple[Rule, ...] = ()
    app: str = ""
    identity_headers: str | None = None
    provider: str = ""
    cookie_suffix: str = ""

    @property
    def is_home(self) -> bool:
        """Whether sign-in, settings and accounts live here."""
        return self.name == HOME

    @property
    def netloc(self) -> str:
        """Host and port, as in a Host header."""
        return urlsplit(self.url).netloc

    @property
    def host_name(self) -> str:
        """The host without its port, in lower case and without a dot at the end."""
        return (urlsplit(self.url).hostname or "").rstrip(".")


class SiteHosts:
    """Finds sites by Host headers.

    A further site matches only the host and port of its URL; the scheme's default port may be omitted. Home is less
    strict about ports, see OwnHost. But a further site on another port of home's host takes precedence.
    """

    def __init__(self, sites: Sequence[Site], home_host: OwnHost) -> None:
        self._home_host, self._home = home_host, next(site for site in sites if site.is_home)
        self._further = {host: site for site in sites if not site.is_home for host in _spellings_of(site.url)}
        self._remembered = lru_cache(MAX_REMEMBERED)(self._find)

    def find(self, host: str) -> Site | None:
        """Return the site that a Host header names, or None."""
        return self._remembered(host) if len(host) <= MAX_REMEMBERED_LENGTH else None

    def _find(self, host: str) -> Site | None:
        if (found := split_host(host)) is not None:
            name, port = found
            if (site := self._further.get((name, port))) is not None:
                return site
        return self._home if self._home_host.is_meant_by(host) else None


def _spellings_of(url: str) -> list[tuple[str, str]]:
    """Return host and port of *url* in the forms of a Host header; an empty port means the scheme's default."""
    parts = urlsplit(own_origin(url))
    name = (parts.hostname or "").rstrip(".")
    if parts.port is None:
        return [(name, ""), (name, _STANDARD_PORT[parts.scheme])]
    return [(name, str(parts.port))]
