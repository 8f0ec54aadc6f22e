"""Decide where a browser may be sent after a sign-in: a page of the site that is asked, of home, or of a listed site.

Pure. The rules for paths are those of `sp.redirects`. An absolute URL is only compared with the URLs of our sites: the
result is always built from one of them and a validated path, so it cannot be read as leading to another host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sp.redirects import origin_of, own_path

if TYPE_CHECKING:
    from sp.sites.in_force import InForce
    from sp.sites.site import Site


def return_target(url: str | None, here: Site, in_force: InForce) -> str | None:
    """Return *url* as a path of the site *here*, or as an absolute URL of another of our sites; None if it is neither.

    The site of an absolute URL is compared as browsers compare origins: in any case, with or without the standard port.
    """
    site = site_of(url, here, in_force)
    path = own_path(url, site.url) if site is not None else None
    if site is None or path is None or site.name == here.name:
        return path
    return f"{site.url}{path}"


def site_of(url: str | None, here: Site, in_force: InForce) -> Site | None:
    """Return the site that *url* leads to, which is *here* for a path; None if it is not listed."""
    origin = origin_of(url)
    return here if origin is None else in_force.at_origin(origin)
