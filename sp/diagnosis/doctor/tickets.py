"""Sign and open the doctor's tickets, without which no echo answers.

An echo shows a request as it arrived, with the IPs of proxies and the headers that they added. Strangers must not see
this information. The command line has the gateway's settings, so it can sign tickets. A ticket is valid for two
minutes, at the sites of one gateway. It only makes an echo answer, and gives no other access.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from itsdangerous import BadData

from shared.timed_texts import timed_serializer

HEADER = "Doctor-Ticket"
PATH = "/lychgate-doctor/"  # the echo answers requests below this path, in place of the application
OWN_PATH = "/sso/doctor"  # where the gateway shows how it understands a request
LIFETIME = 120  # seconds: longer than one run
MAX_LENGTH = 512  # characters
MAX_PADDING = 8192  # bytes
_SALT = "lychgate-doctor"


class TicketRefused(Exception):
    """The ticket is missing, too old, or not signed by us."""


@dataclass(frozen=True)
class Ticket:
    """The echo returns `nonce`. `padding` is the number of bytes added to the answer's headers."""

    nonce: str
    padding: int = 0


class Tickets:
    """Signs and opens tickets for the gateway at *external_url*, with the gateway's secret keys.

    Several gateways may share the keys. Even then, a ticket is valid for one gateway only, at all of its sites.
    """

    def __init__(self, secret_keys: Sequence[str], external_url: str) -> None:
        self._serializer = timed_serializer(secret_keys, f"{_SALT} {urlsplit(external_url).netloc.lower()}")

    def sign(self, padding: int = 0) -> tuple[Ticket, str]:
        """Return a new ticket, and its text for the header."""
        ticket = Ticket(secrets.token_urlsafe(12), padding)
        return ticket, str(self._serializer.dumps([ticket.nonce, ticket.padding]))

    def open(self, text: str) -> Ticket:
        """Return the ticket in *text*, or raise TicketRefused."""
        if not text or len(text) > MAX_LENGTH:
            raise TicketRefused
        try:
            nonce, padding = self._serializer.loads(text, max_age=LIFETIME)
        except (BadData, ValueError, TypeError):
            raise TicketRefused from None
        if not isinstance(nonce, str) or not isinstance(padding, int) or not 0 <= padding <= MAX_PADDING:
            raise TicketRefused
        return Ticket(nonce, padding)
