"""Lychgate: single sign-on by signed tokens, in front of any WSGI or ASGI application.

    from lychgate import Gateway
    application = Gateway(application)          # WSGI: Flask, Django and so on

    from lychgate import AsgiGateway
    application = AsgiGateway(application)      # ASGI: FastAPI, Starlette and so on

    from lychgate import current_user, require_group
    user = current_user(request)                # in the application

An installation adds only this package. The gateway is then `lychgate.sp`, the identity provider `lychgate.idp`, their
shared code `lychgate.shared`, and the lab (the tools for tests) `lychgate.lab`. In a checkout of the repository, these
packages are `sp`, `idp`, `shared` and `lab`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lychgate.groups import require_group
    from lychgate.user import User, current_user
    from shared.version import VERSION as __version__
    from sp.gateway import AsgiGateway, Gateway

__all__ = ["AsgiGateway", "Gateway", "User", "__version__", "current_user", "require_group"]


def __getattr__(name: str) -> object:
    """Import on first use, so that `import lychgate` alone loads no other module."""
    if name in ("Gateway", "AsgiGateway"):
        from sp import gateway

        return getattr(gateway, name)
    if name in ("User", "current_user"):
        from lychgate import user

        return getattr(user, name)
    if name == "require_group":
        from lychgate.groups import require_group

        return require_group
    if name == "__version__":
        from shared.version import VERSION

        return VERSION
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
