"""May this request pass? The WSGI and ASGI middleware, forward-auth, and what they share.

`from sp.gateway import AsgiGateway, Gateway` are the public names.
"""

from sp.gateway.asgi import AsgiGateway
from sp.gateway.middleware import Gateway

__all__ = ["AsgiGateway", "Gateway"]
