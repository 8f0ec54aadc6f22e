"""Give access to the components of the current application and to the site of the request, and import none of them.

So a view loads what it uses itself; `sp.components` puts the parts together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.current import current_application, current_request
from sp.routes import HOME

if TYPE_CHECKING:
    from sp.components import Components
    from sp.sites.site import Site

SITE = "lychgate.site"  # key of the environ: the name of the site; no header can set it


def components() -> Components:
    """Return the parts of the current application."""
    found: Components = current_application().extensions["lychgate"]
    return found


def current_site() -> Site:
    """Return the site of the current request, which the gateway has found by its host."""
    in_force = components().rulebook.current
    return in_force.named(current_request().environ.get(SITE, HOME)) or in_force.home
