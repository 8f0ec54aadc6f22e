"""Prevent the application behind the gateway from setting one of the gateway's cookies, or the ID of its request.

This module does no I/O, except that it writes log lines.

Some pages set a cookie whose name and value a visitor chose, or forward the cookies of another server. Through such a
page, an attacker could plant a session in a browser: the person would work in another account without noticing. So a
Set-Cookie with the name of a gateway cookie is removed from the response. Except for the request's ID, nothing else in
the response changes. Its body is not read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from shared.request_ids import HEADER
from sp.sessions.cookies import ours_set_by

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

_NAME = "set-cookie"
_ID_NAME, _LENGTH = HEADER.lower(), len(HEADER)
_RAW_NAME = _NAME.encode()

log = logging.getLogger("lychgate")


def of_application(start_response: StartResponse, request_id: str) -> StartResponse:
    """Return a *start_response* for an application. It adds *request_id*, and the application cannot replace it."""

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
        for name, value in headers:  # cheapest checks first
            if len(name) == _LENGTH and name.lower() == _ID_NAME:
                headers = [header for header in headers if header[0].lower() != _ID_NAME]
            if "_" in value and name.strip().lower() == _NAME and ours_set_by(value):
                headers = _without_ours(headers)
        headers = [*headers, (HEADER, request_id)]
        return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

    return start


def without_planted(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the *headers* of an ASGI response without cookies that have the name of a gateway cookie."""
    kept = []
    for name, value in headers:
        if b"_" in value and name.strip().lower() == _RAW_NAME and (ours := ours_set_by(value.decode("latin-1"))):
            _log(ours)
        else:
            kept.append((name, value))
    return kept


def _without_ours(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    kept = []
    for name, value in headers:
        planted = ours_set_by(value) if name.strip().lower() == _NAME else ""
        if planted:
            _log(planted)
        else:
            kept.append((name, value))
    return kept


def _log(planted: str) -> None:
    log.warning("the application set the gateway's own cookie %r: dropped", planted[:60])
