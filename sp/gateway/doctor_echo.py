"""Show `flask --app sp doctor` a request as it arrived.

The request needs a ticket, and the answer contains no data of the application. A ticket allows only that a request for
/sso/doctor, or for a path below /lychgate-doctor/, is echoed. If the application runs in the gateway's process, the
gateway answers with the echo. Behind a proxy, the program `doctor-echo` does. A ticket does not name a person, and does
not allow a path that the gateway rejects.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sp.diagnosis.doctor.echo import GATEWAY, OWN, of_environ, response_headers
from sp.diagnosis.doctor.tickets import PATH, Ticket, TicketRefused, Tickets
from sp.policy.decision import Decision, Verdict
from sp.sessions.cookies import without_ours

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from sp.gateway.access import AccessControl

KEY = "HTTP_DOCTOR_TICKET"


def is_for_echo(decision: Decision, path: str) -> bool:
    """Tell whether the doctor's echo may answer *path*.

    It may if *path* is below /lychgate-doctor/, and the *decision* is to allow the request or to ask for a sign-in.
    """
    return path.startswith(PATH) and decision.verdict in (Verdict.SIGN_IN, Verdict.LET_IN)


class DoctorEcho:
    """Answers the doctor's requests."""

    def __init__(self, keeper: AccessControl) -> None:
        self._tickets, self._peers = Tickets(keeper.config.secret_keys, keeper.config.external_url), keeper.peers
        secure = "; Secure" if keeper.config.https else ""
        self._set_cookies = [
            f"{name}=1; Path=/; Max-Age=60; HttpOnly; SameSite=Lax{secure}" for name in ("sp_doctor_a", "sp_doctor_b")
        ]

    def ticket(self, environ: WSGIEnvironment) -> Ticket | None:
        """Return the valid ticket of a request, or None."""
        try:
            return self._tickets.open(environ.get(KEY, ""))
        except TicketRefused:
            return None

    def echo(self, ticket: Ticket, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Show the doctor the request that the application would have received."""
        environ = {**environ, "HTTP_COOKIE": without_ours(environ.get("HTTP_COOKIE", ""))}
        body = of_environ(environ, GATEWAY, ticket)
        start_response("200 OK", response_headers(body, ticket))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def own_echo(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes] | None:
        """Show the doctor which client, scheme and host the gateway sees in a request.

        Returns None if the request has no valid ticket.
        """
        ticket = self.ticket(environ)
        if ticket is None:
            return None
        peer = environ.get("lychgate.peer", "")
        body = of_environ(
            environ,
            OWN,
            ticket,
            peer=peer,
            peer_trusted=self._peers.include(peer),
            forwarded=bool(environ.get("lychgate.forwarded")),
            client=environ.get("REMOTE_ADDR", ""),
            scheme=environ.get("wsgi.url_scheme", ""),
            host=environ.get("HTTP_HOST", ""),
            set_cookies=self._set_cookies,
        )
        cookies = [("Set-Cookie", line) for line in self._set_cookies]
        start_response("200 OK", [*response_headers(body, ticket), *cookies])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
