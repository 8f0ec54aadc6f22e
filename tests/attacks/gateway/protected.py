"""The victim behind the gateway, for servers to import: settings come from the environment."""

from sp.gateway import Gateway
from tests.attacks.gateway.victim import telling

application = Gateway(telling)
