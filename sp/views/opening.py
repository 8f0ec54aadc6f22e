"""Open a browser's session with a verified token, and redirect the browser to its page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

from flask import redirect, url_for
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from shared.current import current_request
from shared.web import allow_form_target, new_reference, page
from sp.activity.record import Visitor
from sp.current import components, current_site
from sp.providers.provider import Provider
from sp.providers.registry import Trusted
from sp.redirects import add_query
from sp.request.kind import is_from_elsewhere, is_of_a_window
from sp.sessions.cookies import set_session_cookie
from sp.signin.binding import gets_access_token
from sp.signin.opening import Opening
from sp.signin.pending import Pending
from sp.signin.verification import Verified
from sp.sites.return_urls import return_target, site_of
from sp.views.people import presented_session

if TYPE_CHECKING:
    from sp.sites.site import Site


def enter(
    verified: Verified,
    trusted: Trusted,
    here: Visitor,
    pending: Pending | None,
    landing: str,
    *,
    answered: bool = False,
) -> Response:
    """Spend the token, open the session, and redirect to *landing*.

    If *answered* is True, the token was spent when the question was asked. In this case, the person's answer is spent
    instead, so that the answer works only once.
    """
    core, provider = components(), trusted.provider
    opening = Opening(
        here,
        new_reference(),
        return_path=landing,
        pending_hash=pending.nonce_hash if pending else None,
        access_token=gets_access_token(provider, landing, return_page(provider)),
        replacing=presented_session(),
        answered=answered,
    )
    signed_in = core.sign_in.with_token(verified, trusted, opening)
    target = _with_access_token(landing, provider, signed_in.access_token)
    response = lead_on(target) if site_at(landing) is not None else redirect(target, 303)
    set_session_cookie(response, signed_in.secret, https=core.config.https)
    core.landings.note(response, current_request().cookies, landing)
    if pending:
        core.pending.finish(response, pending)
    return response


def return_page(provider: Provider) -> str:
    """Return the provider's page after sign-in: a path on this site, or the URL of another site."""
    return page_of_ours(provider.return_url) or provider.return_url or "/"


def page_of_ours(url: str | None) -> str | None:
    """Return *url* as a path of the current site, or as an absolute URL of another of our sites, or None.

    This function is called when a page is requested, and again before the redirect, because the site of the page may
    have been removed in the meantime.
    """
    return return_target(url, current_site(), components().rulebook.current)


def site_at(landing: str) -> Site | None:
    """Return our site to which *landing* leads, or None."""
    return site_of(landing, current_site(), components().rulebook.current)


def pending_of(provider: Provider) -> list[Pending]:
    """Return the sign-ins that this browser has started with *provider*, newest first.

    If the page to return to is no longer on one of our sites, the start page replaces it. An empty page means the
    provider's page after sign-in.
    """
    found = components().pending.read(current_request().cookies, provider.name)
    return [replace(one, return_path=one.return_path and still_ours(one.return_path, provider)) for one in found]


def still_ours(landing: str, provider: Provider) -> str:
    """Return *landing*, or the start page if *landing* is no longer a valid page."""
    return landing if landing == return_page(provider) else page_of_ours(landing) or "/"


def lead_on(url: str) -> Response:
    """Redirect the browser to *url* or, if a redirect could be blocked, show a page that leads there.

    *url* may be on another of our sites. After a form at the identity provider, browsers apply the form-action of the
    form's page to each redirect. That page allows only redirects to home, so browsers would block a redirect to another
    site. So if the request came from another origin and *url* is absolute, an intermediate page begins a new
    navigation.
    """
    if url.startswith("/") or not is_from_elsewhere(current_request().environ):
        return redirect(url, 303)
    return page("sp/continue.html", url=url)


def require_window() -> None:
    """Raise BadRequest if a sign-in would begin in a frame, an image or a script of another page."""
    if not is_of_a_window(current_request().environ):
        raise BadRequest(
            "Sign-in does not work inside a frame of another page. Open the page in its own tab or window."
        )


def allow_landing(landing: str) -> None:
    """Allow the form of this page to lead to *landing*, even through a hand-over to one of our sites."""
    path, _mark, query = landing.partition("?")
    handed_to = parse_qs(query).get("site", [""])[0] if path == url_for("sites.hand_over") else ""
    site = components().rulebook.current.named(handed_to) or site_at(landing)
    allow_form_target(landing)
    if site is not None:
        allow_form_target(site.url)


def _with_access_token(landing: str, provider: Provider, access_token: str | None) -> str:
    """Return *landing* with the access token added if the provider's settings require it (as LoginRadius does)."""
    if access_token is None:
        return landing
    values = {"access_token": access_token, "token_type": "Bearer", "expires_in": str(components().sessions.lifetime)}
    if provider.access_token_delivery == "query":
        return add_query(landing, **values)
    return f"{landing.partition('#')[0]}#{urlencode(values)}"
