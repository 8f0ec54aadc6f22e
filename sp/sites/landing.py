"""Open a browser's session at a further site with a ticket, in one transaction with one commit.

The ticket is spent first, in the same atomic way as a token: by the first statement of the transaction or, if Redis
keeps the spent tokens, in Redis before it. So if two requests use the same ticket, even on different nodes, exactly one
of them opens a session. Before that, `sp.sites.tickets` and `sp.sites.hand_overs` decide whether the ticket is for this
site and this browser.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from shared.clock import time_now
from shared.errors import TicketInvalid, TokenReplayed
from sp.activity import record as activity
from sp.activity.cleaning import clean_url
from sp.activity.record import Visitor
from sp.activity.trace import AccountDecision, Facts
from sp.database.access import Database
from sp.sessions.at_sites import HomeSession, find_home, open_at_site, replace_at_site
from sp.sessions.store import NewSession, SessionStore
from sp.signin.cleanup import Housekeeping
from sp.signin.replay import FirstUse, ReplayCache, Spending
from sp.sites.tickets import SiteTicket

BY_HOME = "by the session at home"


@dataclass(frozen=True)
class SiteArrival:
    """A browser that arrives at a site with its ticket, to open a session and then go to `return_to`.

    If the browser already sends a session id, `replacing` is the hash of that id, and that session ends.
    """

    ticket: SiteTicket
    visitor: Visitor
    reference: str
    return_to: str
    replacing: bytes | None = None


@dataclass(frozen=True)
class SiteLanding:
    """Spends tickets and opens sessions at sites."""

    database: Database
    replay: ReplayCache
    sessions: SessionStore
    housekeeping: Housekeeping

    def enter(self, arrival: SiteArrival) -> str:
        """Return the id of a new session at the site of the ticket. Raises TicketInvalid, StoreUnavailable."""
        ticket, new = arrival.ticket, NewSession.generate()
        use = FirstUse(new.id_hash)  # without the return URL, because its query may contain an access token
        spending = Spending(ticket.key, ticket.remembered_until, use)
        try:
            self.replay.spend(self.database, spending, partial(self._open, arrival, new))
        except TokenReplayed as error:
            raise TicketInvalid("the ticket was used before") from error
        if arrival.replacing:
            self.sessions.forget_one(arrival.replacing)
        self.housekeeping.note()
        return new.secret

    def _open(self, arrival: SiteArrival, new: NewSession, connection: Connection) -> None:
        """Open the session if the session at home is still valid."""
        ticket, now = arrival.ticket, int(time_now())
        home = find_home(connection, ticket.home, now, self.sessions.idle)
        if home is None:
            raise TicketInvalid("the session at home has ended since the ticket was issued")
        origin = home.origin(ticket.site, arrival.visitor.ip, arrival.visitor.user_agent)
        if arrival.replacing:  # before the insert, which on PostgreSQL locks the account and can block other requests
            replace_at_site(connection, arrival.replacing, ticket.site)
        open_at_site(connection, new, origin, home, now)
        activity.record(connection, _line(arrival, home, now))


def _line(arrival: SiteArrival, home: HomeSession, now: int) -> activity.Entry:
    decision = AccountDecision("found", BY_HOME, home.account_id)
    return activity.Entry(
        arrival.reference,
        now,
        activity.HAND_OVER,
        arrival.visitor,
        provider=home.provider,
        email=home.email,
        account_id=home.account_id,
        detail=f"to the site {arrival.ticket.site}",
        trace=activity.trace_of(arrival.visitor, Facts(account=decision, sent_to=clean_url(arrival.return_to))),
    )
