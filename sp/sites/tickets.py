"""Issue and open tickets. With a ticket, a browser that is signed in at home opens a session at a further site.

A ticket is encrypted and authenticated, so only the nodes of one gateway can read or make one. The database is not
written when a ticket is issued. The ticket names the site, the hand-over that it answers, and the session at home. When
a browser uses the ticket, the gateway checks that it was not used before, and that the session at home is still valid.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from shared.clocks import WORTH_SAYING
from shared.errors import TicketInvalid
from shared.vault import Vault, VaultLocked
from sp.signin.verification import REMEMBERED_LONGER

LIFETIME = 60  # seconds for which a ticket is valid; docs/protocol.md
MAX_LENGTH = 1024  # characters; the tickets of the gateway have about 400
AHEAD = WORTH_SAYING  # seconds by which the clock of the node that issued a ticket may be ahead


@dataclass(frozen=True)
class SiteTicket:
    """The content of a ticket. `home` is the hash of the id of the session at home.

    `state` is the state of the hand-over. `issued_at` is in seconds since 1970.
    """

    site: str
    state: str
    home: bytes
    id: str
    issued_at: int

    @property
    def key(self) -> bytes:
        """The 16 bytes under which the ticket is stored as spent.

        No token has the same key, because the keys of tokens are made from a provider's name.
        """
        return hashlib.sha256(b"\0ticket\0" + self.id.encode()).digest()[:16]

    @property
    def remembered_until(self) -> int:
        """The time until which the ticket is stored as spent, in seconds since 1970. After that, it has expired."""
        return self.issued_at + LIFETIME + REMEMBERED_LONGER


class SiteTickets:
    """Issues and opens the tickets of one gateway."""

    def __init__(self, secret_keys: Sequence[str]) -> None:
        self._vault = Vault(secret_keys, "ticket")

    def issue(self, site: str, state: str, home: bytes, now: int) -> str:
        """Return a ticket for the browser that began the hand-over with *state* at *site*."""
        return self._vault.encrypt(json.dumps([site, state, home.hex(), secrets.token_urlsafe(16), now]))

    def open(self, text: str, site: str, now: int) -> SiteTicket:
        """Return the ticket in *text*. Raises TicketInvalid if this gateway did not issue it for *site* recently."""
        if len(text) > MAX_LENGTH or not text.isascii():
            raise TicketInvalid("the ticket was not issued here")
        try:
            named, state, home, ticket_id, issued_at = json.loads(self._vault.decrypt(text))
        except VaultLocked as error:
            raise TicketInvalid("the ticket was not issued here, or it was changed") from error
        if named != site:
            raise TicketInvalid(f"the ticket is for the site {named}, and it was used at {site}")
        age = now - issued_at
        if age > LIFETIME:
            raise TicketInvalid(f"the ticket is {age} seconds old, and it is good for {LIFETIME}")
        if age < -AHEAD:
            raise TicketInvalid(f"the ticket is from {-age} seconds in the future: the clocks of two nodes differ")
        return SiteTicket(named, state, bytes.fromhex(home), ticket_id, issued_at)
