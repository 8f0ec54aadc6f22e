"""Decide whether a request may pass: WSGI and ASGI middleware, forward-auth, and their common code.

`from sp.gateway import AsgiGateway, Gateway` are the public names.
"""

from sp.gateway.asgi import AsgiGateway
from sp.gateway.middleware import Gateway

__all__ = ["AsgiGateway", "Gateway"]
