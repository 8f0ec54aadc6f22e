"""Sign a browser in at a further site with its session at home.

There are three steps:

1. SITE/sso/start gives the browser a cookie with a nonce. `sp.views.site_start` does this.
2. HOME/sso/hand-over issues a ticket for the hash of this nonce. If the browser has no session at home, it signs in at
   home first, and then comes back to the hand-over.
3. SITE/sso/land opens the session. The ticket is valid only together with the cookie.
"""

from __future__ import annotations

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from shared.clock import time_now
from shared.errors import TicketInvalid
from shared.web import new_reference
from sp.current import components, current_site
from sp.sessions.cookies import set_session_cookie
from sp.sites.hand_overs import is_state
from sp.sites.landing import SiteArrival
from sp.sites.site import Site
from sp.views import redirect_loops as loops
from sp.views.opening import lead_on, page_of_ours, require_window
from sp.views.people import browser_session, presented_session, visitor

views = Blueprint("sites", __name__)


@views.get("/sso/hand-over")
def hand_over() -> ResponseReturnValue:
    """Send a browser that is signed in at home back to its site with a ticket. Any other browser signs in first."""
    require_window()
    site, state = _asked_for()
    if request.method == "HEAD":
        return "", 200
    presented = presented_session()
    if presented:
        components().sessions.forget_one(presented)  # read the session again: a ticket for an ended session is useless
    session = browser_session()
    here = url_for("sites.hand_over", site=site.name, state=state)
    if session is None:
        loops.break_circle_of_hand_over(here)
        return redirect(url_for("sso.start", provider_name=site.provider or None, return_to=here), 303)
    ticket = components().tickets.issue(site.name, state, session.id_hash, int(time_now()))
    landing = f"{site.url}{url_for('sites.land', ticket=ticket)}"
    return lead_on(landing) if loops.was_signed_in_for(here) else redirect(landing, 303)


@views.get("/sso/land")
def land() -> ResponseReturnValue:
    """Open the session at this site with a ticket, and redirect the browser to its page."""
    if request.method == "HEAD":
        return "", 200  # link previews and mail scanners spend no ticket
    site, core = current_site(), components()
    ticket = core.tickets.open(request.args.get("ticket", ""), site.name, int(time_now()))
    begun = core.hand_overs.answered(request.cookies, site.name, ticket.state)
    if begun is None:
        raise TicketInvalid("this browser did not begin the sign-in, or it did not return our cookie")
    return_to = page_of_ours(begun.return_to) or "/"  # its site may have been removed since
    arrival = SiteArrival(ticket, visitor(), new_reference(), return_to, presented_session())
    secret = core.site_landing.enter(arrival)
    response = redirect(return_to, 303)
    set_session_cookie(response, secret, https=core.config.https, suffix=site.cookie_suffix)
    core.landings.note(response, request.cookies, loops.place(site, return_to))
    core.hand_overs.finish(response, begun)
    return response


def _asked_for() -> tuple[Site, str]:
    """Return the further site and the state that the request names. Raises TicketInvalid."""
    name, state = request.args.get("site", ""), request.args.get("state", "")
    site = components().rulebook.current.named(name)
    if site is None or site.is_home:
        raise TicketInvalid("the sign-in is for a site that is not configured here")
    if not is_state(state):
        raise TicketInvalid("the sign-in did not begin at a site: its state is missing or invalid")
    return site, state
