"""Describe a site, and find the site that a request is for by its host.

The site of SP_EXTERNAL_URL is called *home*. The pages for sign-in, settings and accounts are at home. Further sites
are listed in the file of SP_CONFIG. A host that is not listed belongs to no site.

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

MAX_REMEMBERED = 1024  # Host headers; limited because strangers choose them
MAX_REMEMBERED_LENGTH = 300  # characters of each Host header
_STANDARD_PORT = {"http": "80", "https": "443"}


@dataclass(frozen=True)
class Site:
    """One site. `url` is its origin. `app` names an application in the gateway's process, in the form of SP_APP.

    If `identity_headers` is None, SP_IDENTITY_HEADERS applies. An empty `provider` means the default provider.
    Browsers send a cookie to every port of a host. So if several sites are on the same host name, `cookie_suffix` gives
    their session cookies different names.
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
        """Whether this is the site of SP_EXTERNAL_URL."""
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

    A Host header matches a further site only if it has the host and the port of the site's URL. The scheme's default
    port may be omitted. For home, the port may differ (see OwnHost). But if a further site is on that port of home's
    host, the further site is found.
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
    """Return the host and the port of *url* in each form that a Host header may have.

    An empty port means the scheme's default port.
    """
    parts = urlsplit(own_origin(url))
    name = (parts.hostname or "").rstrip(".")
    if parts.port is None:
        return [(name, ""), (name, _STANDARD_PORT[parts.scheme])]
    return [(name, str(parts.port))]
