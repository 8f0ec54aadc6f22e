"""Classify a request: does a browser navigate to a page, or does a script or program ask for data?

A browser that navigates is redirected to the sign-in. If a script were redirected, it would get a page instead of its
data, or an error that people cannot understand (a common complaint: "302 for XHR"). So a script gets 401. Browsers say
in Sec-Fetch-Mode (Fetch Metadata) which of the two sent a request. For older browsers, the Accept header decides.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
PAGES = ("document", "iframe", "frame", "embed", "object")
WEBSOCKET = ("HTTP_SEC_WEBSOCKET_KEY", "HTTP_UPGRADE")  # a handshake has one of these headers
PAGE_METHODS = ("GET", "HEAD", "POST")  # what links and forms send


def is_navigation(environ: Mapping[str, Any], method: str) -> bool:
    """Tell whether a browser navigates to a page. *method* is the method of the original request.

    In forward-auth, a proxy reports that method.
    """
    if method.upper() not in PAGE_METHODS or is_websocket(environ) or "HTTP_X_REQUESTED_WITH" in environ:
        return False
    mode = environ.get("HTTP_SEC_FETCH_MODE")
    if mode is not None:
        return mode == "navigate" and environ.get("HTTP_SEC_FETCH_DEST", "document") in PAGES
    accept = environ.get("HTTP_ACCEPT", "*/*").lower()
    if "text/html" in accept or "application/xhtml+xml" in accept:
        return True
    if "*/*" not in accept or "json" in accept or "HTTP_AUTHORIZATION" in environ:
        return False
    return method.upper() != "POST" or environ.get("CONTENT_TYPE", "").lower().startswith(FORM_TYPES)


def is_of_a_window(environ: Mapping[str, Any]) -> bool:
    """Tell whether the request is for a whole window, not for an image, script or frame in a page (Fetch Metadata).

    A request without these headers counts as one for a window. All browsers have sent the headers over https since
    2023. Over plain http, they send them only to servers on their own machine.
    """
    dest, mode = environ.get("HTTP_SEC_FETCH_DEST", "document"), environ.get("HTTP_SEC_FETCH_MODE", "navigate")
    return bool(dest == "document" and mode == "navigate")


def is_from_elsewhere(environ: Mapping[str, Any]) -> bool:
    """Tell whether the browser reports that a page of another origin caused this request (Fetch Metadata).

    If a page of another origin links to the gateway, the request still counts as caused by that page after a redirect.
    If a person types a URL or opens it from another program, no page caused the request.
    """
    return environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin")


def is_websocket(environ: Mapping[str, Any]) -> bool:
    """Tell whether this is the handshake of a WebSocket (RFC 6455, 4.1).

    One header is enough, because proxies drop Upgrade, but not the headers that begin with Sec-WebSocket.
    """
    return "HTTP_SEC_WEBSOCKET_KEY" in environ or "websocket" in environ.get("HTTP_UPGRADE", "").lower()


def wants_json(environ: Mapping[str, Any]) -> bool:
    """Tell whether the client is a program that needs JSON."""
    accept = environ.get("HTTP_ACCEPT", "").lower()
    return "json" in accept and "text/html" not in accept
