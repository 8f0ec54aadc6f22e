"""Change the ASGI messages of an application: add the ID of the request, and remove the gateway's cookies.

Only the message that begins a response is read. All other messages pass unchanged, and are not copied. Only
`instead_of_401` discards the other messages of a response that it has replaced.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from shared.request_ids import IN_ENVIRON
from sp.gateway.asgi_answers import answer_at_once
from sp.gateway.cookie_guard import without_planted

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from sp.gateway.asgi_exchange import Message, Send

_BEGINNINGS = frozenset(("http.response.start", "websocket.accept", "websocket.http.response.start"))
_REQUEST_ID = b"x-request-id"
_LENGTH = len(_REQUEST_ID)  # the length is compared first, which is faster

RawHeader = tuple[bytes, bytes]


def with_request_id(send: Send, request_id: str) -> Send:
    """Return a *send* for the gateway's own answers. It adds the ID of the request."""
    line = (_REQUEST_ID, request_id.encode("ascii"))

    def changed(message: Message) -> Awaitable[None]:
        if message["type"] in _BEGINNINGS:
            message = {**message, "headers": [*message["headers"], line]}
        return send(message)

    return changed


def of_application(send: Send, request_id: str) -> Send:
    """Return a *send* for an application.

    Through it, the application can set neither the gateway's cookies nor the ID of the request.
    """
    line = (_REQUEST_ID, request_id.encode("ascii"))

    def changed(message: Message) -> Awaitable[None]:
        if message["type"] in _BEGINNINGS:
            headers = list(message.get("headers", ()))
            for name, value in headers:  # nearly always there is nothing to remove
                if b"_" in value or (len(name) == _LENGTH and name.lower() == _REQUEST_ID):
                    headers = [header for header in without_planted(headers) if not _is_request_id(header)]
                    break
            headers.append(line)
            message = {**message, "headers": headers}
        return send(message)

    return changed


def instead_of_401(send: Send, answer: WSGIApplication, environ: WSGIEnvironment) -> Send:
    """Return a *send* for an application. It replaces a 401 with *answer*."""
    is_replaced = False

    async def send_or_replace(message: Message) -> None:
        nonlocal is_replaced
        if message["type"] == "http.response.start" and message["status"] == 401:
            is_replaced = True
            await answer_at_once(answer, environ, with_request_id(send, environ[IN_ENVIRON]))
        elif not is_replaced:
            await send(message)

    return send_or_replace


def _is_request_id(header: RawHeader) -> bool:
    return header[0].lower() == _REQUEST_ID
