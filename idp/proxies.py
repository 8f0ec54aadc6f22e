"""Determine the IP of a client behind trusted proxies, and give each request its ID.

Only X-Forwarded-For and X-Request-Id are read, and only if the request comes directly from a trusted proxy
(shared/proxies.py). Scheme and host come from IDP_EXTERNAL_URL, so X-Forwarded-Proto and X-Forwarded-Host are ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from shared import request_ids
from shared.proxies import TrustedProxies
from shared.settings import Network

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class ClientIP:
    """WSGI middleware that puts the client's IP into REMOTE_ADDR."""

    def __init__(self, app: WSGIApplication, trusted: Sequence[Network]) -> None:
        self._app = app
        self._trusted = TrustedProxies(trusted)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass the request on."""
        peer, forwarded_for = environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", "")
        start_response = request_ids.begin(environ, start_response, trusted=self._trusted.include(peer))
        environ["REMOTE_ADDR"] = self._trusted.client(peer, forwarded_for)
        return self._app(environ, start_response)
