"""Stop redirect loops of a browser that is signed in again and again, and name the cause.

A signed-in browser comes back with a live session at once. A browser that lands twice on one page within seconds, and
then begins a sign-in for that page once more without a session, would loop for ever. The browser reports this itself:
each landing is noted in a signed cookie of a few seconds, so another browser, behind the same address or not, is not
taken for it.

A rejected browser that is sent to an error page behind a sign-in would loop, too, with or without cookies. The address
of that page shows it: it has the code and the reference of the refusal, which our own page then shows.

A browser that returns no cookie at all can land only where unsolicited tokens are accepted. There, if a session was
just opened at its address and never came back, it is given a cookie and asked to come again with it.
"""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from flask import redirect, request, url_for
from werkzeug.wrappers import Response

from shared.clock import time_now
from shared.errors import CookiesBlocked, HttpsNeeded
from sp.current import components
from sp.providers.provider import Provider
from sp.redirects import add_query
from sp.signin.recent_landings import ROUNDS, WINDOW
from sp.views.people import browser_secret, browser_session, visitor

TRIED = "cookie_given"  # parameter of /sso/start


def break_circle(provider: Provider, return_path: str) -> Response | None:
    """Raise CookiesBlocked if a sign-in for *return_path*, begun now, would be the next round of a circle.

    Returns an answer where it is for an error page, or where the browser has to show first that it returns cookies;
    else None.
    """
    if (error_page := _after_refusal(provider, return_path)) is not None:
        return error_page
    rounds = components().landings.rounds(request.cookies, return_path)
    if rounds >= ROUNDS and browser_session() is None:
        raise CookiesBlocked(f"the browser was signed in {rounds} times and came back without: {' '.join(causes())}")
    if provider.unsolicited == "accept" and not request.cookies:
        return _try_cookies(return_path)
    return None


def _after_refusal(provider: Provider, return_path: str) -> Response | None:
    """Return the way to our own error page if the provider's, with a refusal to show, is what a sign-in is for."""
    page, _mark, query = return_path.partition("?")
    told = parse_qs(query.partition("#")[0])
    error_page = components().routes.path_at(provider.error_url)
    if (
        error_page is None
        or error_page != components().routes.path_at(page)
        or not {"code", "reference"} <= told.keys()
    ):
        return None
    return redirect(url_for("refusals.error", code=told["code"][-1], reference=told["reference"][-1]), 303)


def _try_cookies(return_path: str) -> Response | None:
    if TRIED in request.args:
        raise CookiesBlocked(f"the browser was given a cookie and came back without: {' '.join(causes())}")
    here = visitor()
    if not components().session_finder.unreturned(here.ip, here.user_agent, return_path, int(time_now()) - WINDOW):
        return None
    response = redirect(add_query(request.full_path.rstrip("?"), **{TRIED: "1"}), 303)
    components().landings.note(response, request.cookies, "")
    return response


def https_needed() -> HttpsNeeded | None:
    """Return the true cause of a missing cookie, where the token was posted from another site over plain http.

    SameSite=None needs Secure, and Secure needs https: over http the pending sign-in's cookie is Lax, and stays away.
    """
    if components().config.https or request.method != "POST" or not _is_cross_site():
        return None
    return HttpsNeeded()


def _is_cross_site() -> bool:
    """Tell whether a page of another host sent this request. A page that hides where it is sends the origin null."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "cross-site"
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).hostname != urlsplit(components().config.external_url).hostname


def causes() -> list[str]:
    """Return what may keep the session from coming back, as far as this request shows it, one sentence each."""
    config = components().config
    if config.https and request.scheme != "https":
        return [
            f"This site is configured as {config.external_url}, but the request arrived over http, and browsers do not "
            "return the cookie over http. If a proxy in front terminates https, it must send X-Forwarded-Proto and be "
            "listed in SP_TRUSTED_PROXIES."
        ]
    if browser_secret() is not None:
        return [
            "The browser returned the cookie, but this server does not know the session. The clocks of the servers may "
            "differ, or the servers may not share one database."
        ]
    return [
        f"The browser returned no session cookie. It may block cookies for this site, or you may have opened the site "
        f"under another name than {config.external_url}."
    ]
