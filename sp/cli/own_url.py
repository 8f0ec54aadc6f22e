"""Read the gateway's URL, for commands that print it or send requests to it."""

from __future__ import annotations

from shared import demo
from sp.config import Config


def own_url(config: Config) -> str:
    """Return the URL of the gateway. A running demo reports it, because it may use any port."""
    return demo.read(config.instance).sp_url if config.is_demo else config.external_url
