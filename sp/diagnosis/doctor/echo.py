"""Answer a request with a description of that request, if it has a ticket.

If the application is inside the gateway's process, the gateway gives this answer. If the application is behind a
forward-auth proxy, the program in `echo_server` runs in place of the application and gives it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sp.diagnosis.doctor.tickets import Ticket

MARK = "lychgate_doctor"  # the JSON member that names the echoing program
GATEWAY, APPLICATION, OWN = "gateway", "application", "own"


def of_environ(environ: Mapping[str, Any], who: str, ticket: Ticket, **more: object) -> bytes:
    """Return the echo of a WSGI request."""
    headers = [
        [key.removeprefix("HTTP_").replace("_", "-").title(), value]
        for key, value in environ.items()
        if key.startswith("HTTP_") and key != "HTTP_DOCTOR_TICKET"
    ]
    target = environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ.get("PATH_INFO", "")
    echoed = {
        MARK: who,
        "nonce": ticket.nonce,
        "method": environ["REQUEST_METHOD"],
        "target": target,
        "path": environ.get("PATH_INFO", ""),
        "headers": headers,
        "remote_user": environ.get("REMOTE_USER", ""),
    }
    return json.dumps({**echoed, **more}).encode()


def response_headers(body: bytes, ticket: Ticket) -> list[tuple[str, str]]:
    """Return the headers of an echo."""
    padding = [("Doctor-Padding", "x" * ticket.padding)] if ticket.padding else []
    return [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        *padding,
    ]
