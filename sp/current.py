"""Give access to the components of the current application, and to the site of the request.

This module imports no component, so a view loads only the modules that it uses. `sp.components` builds them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.current import current_application, current_request
from sp.routes import HOME

if TYPE_CHECKING:
    from sp.components import Components
    from sp.sites.site import Site

SITE = "lychgate.site"  # the key of the environ with the name of the site; no header can set this key


def components() -> Components:
    """Return the components of the current application."""
    found: Components = current_application().extensions["lychgate"]
    return found


def current_site() -> Site:
    """Return the site of the current request. The gateway has found it by the request's host."""
    in_force = components().rulebook.current
    return in_force.named(current_request().environ.get(SITE, HOME)) or in_force.home
