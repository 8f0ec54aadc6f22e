"""May this request pass? The WSGI middleware, forward-auth, and what they share.

`from sp.gateway import Gateway` is the public name.
"""

from sp.gateway.middleware import Gateway

__all__ = ["Gateway"]
