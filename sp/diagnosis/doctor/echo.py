"""Answer a request with what arrived, to the holder of a ticket.

The gateway does so for an application inside its process. Behind a forward-auth proxy, `doctor-echo` runs in place of
the application, because only there one can see what the proxy passes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sp.diagnosis.doctor.tickets import HEADER, Ticket, TicketRefused, Tickets

MARK = "lychgate_doctor"  # the member that says who echoes
REFUSAL = {"error": "doctor_ticket_missing", MARK: "refused"}
MAX_BODY = 65_536  # bytes that are read
SECONDS = 10.0  # for one request
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


class Echo(BaseHTTPRequestHandler):
    """Echoes in place of the application, with names of headers as they arrived."""

    timeout = SECONDS
    protocol_version = "HTTP/1.1"
    tickets: Tickets

    def answer(self) -> None:
        """Echo the request to the holder of a ticket; refuse it to anyone else."""
        try:
            ticket = self.tickets.open(self.headers.get(HEADER, ""))
        except TicketRefused:
            self._send(403, json.dumps(REFUSAL).encode(), [("Content-Type", "application/json")])
            return
        headers = [[name, value] for name, value in self.headers.items() if name.lower() != HEADER.lower()]
        echoed = {MARK: APPLICATION, "nonce": ticket.nonce, "method": self.command, "target": self.path}
        body = json.dumps({**echoed, "path": self.path.partition("?")[0], "headers": headers}).encode()
        self._send(200, body, response_headers(body, Ticket(ticket.nonce)))

    def _send(self, status: int, body: bytes, headers: Iterable[tuple[str, str]]) -> None:
        self._discard_body()
        self.send_response(status)
        for name, value in headers:
            if name != "Content-Length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = True

    def _discard_body(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if length.isascii() and length.isdigit():
            self.rfile.read(min(int(length), MAX_BODY))

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a request line may contain what a person typed."""

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do_TRACE = answer


def serve(host: str, port: int, tickets: Tickets) -> ThreadingHTTPServer:
    """Return a server that echoes; the caller runs it."""
    handler = type("TicketedEcho", (Echo,), {"tickets": tickets})
    return ThreadingHTTPServer((host, port), handler)
