"""The victim behind the gateway for ASGI, for servers to import: settings come from the environment."""

from sp.gateway import AsgiGateway
from tests.attacks.gateway.victim import telling
from tests.support.asgi_as_wsgi import as_asgi

application = AsgiGateway(as_asgi(telling))
