"""Hold the sites and rules that are in force. They are replaced as a whole, so no request is decided by half a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sp.request.trusted_proxies import OwnHost
from sp.sites.site import HOME, Site, SiteHosts


@dataclass(frozen=True)
class InForce:
    """All sites, home first, and how to find them."""

    sites: tuple[Site, ...]
    hosts: SiteHosts

    @cached_property
    def _by_name(self) -> dict[str, Site]:
        return {site.name: site for site in self.sites}

    @classmethod
    def of(cls, sites: Sequence[Site], home_host: OwnHost) -> InForce:
        """Return *sites*, of which one is home, in the form in which requests are decided."""
        return cls(tuple(sites), SiteHosts(sites, home_host))

    def named(self, name: str) -> Site | None:
        """Return the site called *name*, or None."""
        return self._by_name.get(name)

    @property
    def home(self) -> Site:
        """The site of SP_EXTERNAL_URL."""
        return self._by_name[HOME]


class Rulebook:
    """What is in force in this worker. `current` is read once for each request."""

    def __init__(self, current: InForce) -> None:
        self.current = current
