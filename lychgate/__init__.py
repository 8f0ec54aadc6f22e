"""Lychgate: single sign-on by signed tokens, in front of any WSGI application.

    from lychgate import Gateway
    application = Gateway(application)

An installation adds only this package. In it, the gateway, the identity provider, their shared code and the lab are
`lychgate.sp`, `lychgate.idp`, `lychgate.shared` and `lychgate.lab`. In a checkout they are `sp`, `idp`, `shared` and
`lab`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sp.gateway import Gateway

__all__ = ["Gateway", "__version__"]
__version__ = "0.1.0"  # the only place: the wheel, `lychgate --version` and the image read it from here


def __getattr__(name: str) -> object:
    """Import the gateway on first use, so that `import lychgate` alone loads no other module."""
    if name == "Gateway":
        from sp.gateway import Gateway

        return Gateway
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
