"""Hold the sites and rules in force. They are replaced as a whole, so that each request is decided by one whole file.

`sp.reloading` reads the file.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from sp.redirects import own_origin
from sp.request.trusted_proxies import OwnHost
from sp.sites.site import HOME, Site, SiteHosts

_URL = re.compile(r"(https?)://([^/?#]+)(.*)\Z", re.IGNORECASE)


@dataclass(frozen=True)
class InForce:
    """All sites, home first, with tables to find them by host, name or origin."""

    sites: tuple[Site, ...]
    hosts: SiteHosts

    @cached_property
    def _by_name(self) -> dict[str, Site]:
        return {site.name: site for site in self.sites}

    @cached_property
    def _by_origin(self) -> dict[str, Site]:
        return {own_origin(site.url): site for site in self.sites}

    @classmethod
    def of(cls, sites: Sequence[Site], home_host: OwnHost) -> InForce:
        """Return *sites*, one of which is home, with tables to find them."""
        return cls(tuple(sites), SiteHosts(sites, home_host))

    def named(self, name: str) -> Site | None:
        """Return the site called *name*, or None."""
        return self._by_name.get(name)

    def at_origin(self, origin: str) -> Site | None:
        """Return the site whose URL is *origin*, as `sp.redirects.origin_of` returns it, or None."""
        return self._by_origin.get(origin)

    def locate(self, target: str) -> tuple[str, str] | None:
        """Return the name of the site that *target* leads to, and the path with its query at that site.

        *target* is a path at home, or an absolute URL. Returns None if the URL belongs to no listed site.
        """
        if target.startswith("/"):
            return HOME, target
        found = _URL.match(target)
        site = self.hosts.find(found[2]) if found else None
        if found is None or site is None or urlsplit(site.url).scheme != found[1].lower():
            return None
        path = found[3].partition("#")[0]
        return site.name, path if path.startswith("/") else f"/{path}"

    @property
    def home(self) -> Site:
        """The site of SP_EXTERNAL_URL."""
        return self._by_name[HOME]


class Rulebook:
    """The sites and rules in force in this worker. `current` is replaced as a whole when a new file is put in force."""

    def __init__(self, current: InForce) -> None:
        self.current = current
