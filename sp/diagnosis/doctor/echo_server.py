"""Run in place of an application behind a forward-auth proxy, and answer with what the proxy passes on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sp.diagnosis.doctor.echo import APPLICATION, MARK, response_headers
from sp.diagnosis.doctor.tickets import HEADER, Ticket, TicketRefused, Tickets

REFUSAL = {"error": "doctor_ticket_missing", MARK: "refused"}
MAX_BODY = 65_536  # bytes that are read
SECONDS = 10.0  # for one request


class Echo(BaseHTTPRequestHandler):
    """Answers a request that has a ticket with a description of it, and refuses others.

    The names of headers are spelled as they arrived.
    """

    timeout = SECONDS
    protocol_version = "HTTP/1.1"
    tickets: Tickets

    def answer(self) -> None:
        """Echo a request that has a ticket; refuse every other request."""
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
        """Log nothing, because a request line may contain a person's input."""

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do_TRACE = answer


def serve(host: str, port: int, tickets: Tickets) -> ThreadingHTTPServer:
    """Return a server that echoes; the caller runs it."""
    handler = type("TicketedEcho", (Echo,), {"tickets": tickets})
    return ThreadingHTTPServer((host, port), handler)
