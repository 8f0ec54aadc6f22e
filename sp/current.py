"""Give access to the components of the current application, and import none of them.

So a view loads what it uses itself; `sp.components` puts the parts together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import current_app

if TYPE_CHECKING:
    from sp.components import Components


def components() -> Components:
    """Return the parts of the current application."""
    found: Components = current_app.extensions["lychgate"]
    return found
