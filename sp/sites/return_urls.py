"""Decide where a browser may be sent after a sign-in. It may go to the current site, to home, or to a listed site.

`sp.redirects` has the rules for paths. The result is always built from the URL of a site of the gateway and a validated
path, so no browser can read it as a URL of another host.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sp.redirects import origin_of, own_path

if TYPE_CHECKING:
    from sp.sites.in_force import InForce
    from sp.sites.site import Site


def return_target(url: str | None, here: Site, in_force: InForce) -> str | None:
    """Return *url* as a path of the site *here*, or as an absolute URL if it belongs to another site of the gateway.

    Return None if *url* is missing or belongs to no site, or if its path is not plain or too long. Origins are compared
    as browsers compare them: case is ignored, and the standard port may be omitted.
    """
    site = site_of(url, here, in_force)
    path = own_path(url, site.url) if site is not None else None
    if site is None or path is None or site.name == here.name:
        return path
    return f"{site.url}{path}"


def site_of(url: str | None, here: Site, in_force: InForce) -> Site | None:
    """Return the site that *url* leads to, or None if that site is not listed.

    A text that is not an absolute http or https URL leads to the site *here*, and so does None.
    """
    origin = origin_of(url)
    return here if origin is None else in_force.at_origin(origin)
