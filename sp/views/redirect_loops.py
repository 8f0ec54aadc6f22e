"""Stop redirect loops, in which a browser is signed in again and again, and name the cause.

After a sign-in, a browser normally returns its session cookie at once. A browser that lands on the same page twice
within seconds, and then starts a third sign-in for that page without a session, would loop forever. Each landing is
stored in a signed cookie for a few seconds, so browsers are not confused with each other, even behind the same IP.

A rejected browser would also loop, with or without cookies, if the provider's error page requires a sign-in. The
gateway recognises this case by the requested URL, which contains the code and the reference of the rejection. It then
shows them on its own error page.

A browser that returns no cookies at all can be signed in only if unsolicited tokens are accepted. In that case, the
gateway looks for a session that was just opened for the same IP, user agent and page, and never used. If it finds one,
it sets a cookie and redirects the browser, to test whether the browser comes back with the cookie.

A hand-over to a further site can loop in the same way, and it has four redirects itself. A sign-in at home and the
hand-over together may have at most ten redirects. So a hand-over is stopped after one round if the browser returns no
session cookie at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from flask import redirect, request, url_for
from werkzeug.wrappers import Response

from shared.clock import time_now
from shared.errors import CookiesBlocked, HttpsNeeded
from shared.phrases import Phrase
from sp.current import components, current_site
from sp.providers.provider import Provider
from sp.redirects import add_query
from sp.signin.recent_landings import ROUNDS, WINDOW
from sp.views.people import browser_secret, browser_session, visitor

if TYPE_CHECKING:
    from sp.sites.site import Site

TRIED = "cookie_given"  # parameter of /sso/start


def break_circle(provider: Provider, return_path: str) -> Response | None:
    """Raise CookiesBlocked if starting a sign-in for *return_path* would continue a redirect loop.

    Return a redirect if the sign-in is for an error page, or if the browser must first show that it returns cookies.
    Otherwise return None.
    """
    if (error_page := _after_refusal(provider, return_path)) is not None:
        return error_page
    rounds = components().landings.rounds(request.cookies, return_path)
    if rounds >= ROUNDS and browser_session() is None:
        raise CookiesBlocked(
            f"the browser was signed in {rounds} times and came back without a session: {' '.join(map(str, causes()))}"
        )
    if provider.unsolicited == "accept" and not request.cookies:
        return _try_cookies(return_path)
    return None


def place(site: Site, return_to: str) -> str:
    """Return the name under which a landing on *return_to* at a further site is stored.

    The name contains the site, because sites on one host name share the cookie.
    """
    return f"{site.name}{return_to}"


def break_circle_at(site: Site, return_to: str) -> None:
    """Raise CookiesBlocked if beginning a hand-over at *site* would continue a redirect loop.

    A browser that comes back without a session cookie blocks this cookie, and is stopped at once. A browser whose
    session has just ended is handed over again, but fewer than ROUNDS times.
    """
    rounds = components().landings.rounds(request.cookies, place(site, return_to))
    if rounds and browser_session() is None and (rounds >= ROUNDS or browser_secret() is None):
        raise CookiesBlocked(
            f"the browser was signed in at the site {site.name} and came back without a session: "
            f"{' '.join(map(str, causes()))}"
        )


def break_circle_of_hand_over(here: str) -> None:
    """Raise CookiesBlocked if the browser was signed in at home for this hand-over, but returned no session."""
    if was_signed_in_for(here):
        raise CookiesBlocked(
            "the browser was signed in for a further site and came back without a session: "
            f"{' '.join(map(str, causes()))}"
        )


def was_signed_in_for(here: str) -> bool:
    """Tell whether the browser was signed in a moment ago for this hand-over."""
    return components().landings.rounds(request.cookies, here) > 0


def returns_no_cookies() -> bool:
    """Tell, on the error page, whether this browser blocks all cookies. The answer before has set a cookie."""
    return not request.cookies


def _after_refusal(provider: Provider, return_path: str) -> Response | None:
    """Return a redirect to our own error page if the sign-in is for the provider's error page, to show a refusal."""
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
        raise CookiesBlocked(f"the browser was given a cookie and did not return it: {' '.join(map(str, causes()))}")
    here = visitor()
    if not components().session_finder.unreturned(here.ip, here.user_agent, return_path, int(time_now()) - WINDOW):
        return None
    response = redirect(add_query(request.full_path.rstrip("?"), **{TRIED: "1"}), 303)
    components().landings.note(response, request.cookies, "")
    return response


def https_needed() -> HttpsNeeded | None:
    """Return the real cause of a missing cookie if the token was posted from another site over plain http.

    SameSite=None requires Secure, and Secure requires https. So over http the cookie of the pending sign-in is Lax, and
    browsers do not send it with a POST from another site.
    """
    if components().config.https or request.method != "POST" or not _is_cross_site():
        return None
    return HttpsNeeded()


def _is_cross_site() -> bool:
    """Tell whether a page of another host sent this request. The origin "null" also counts as another host."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "cross-site"
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).hostname != urlsplit(components().config.external_url).hostname


def causes() -> list[Phrase]:
    """Return the possible causes of a missing session that this request shows, one text each."""
    config = components().config
    if config.https and request.scheme != "https":
        return [
            Phrase(
                "This site is configured as %(url)s, but the request arrived over http, and browsers do not return the "
                "cookie over http. If a proxy in front terminates https, it must send X-Forwarded-Proto and be listed "
                "in SP_TRUSTED_PROXIES.",
                url=current_site().url,
            )
        ]
    if browser_secret() is not None:
        return [
            Phrase(
                "The browser returned the cookie, but this server does not know the session. The clocks of the servers "
                "may differ, or the servers may not share one database."
            )
        ]
    return [
        Phrase(
            "The browser returned no session cookie. It may block cookies for this site, or you may have opened the "
            "site under another name than %(url)s.",
            url=current_site().url,
        )
    ]
