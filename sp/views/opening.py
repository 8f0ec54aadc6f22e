"""Open a browser's session with a verified token, and redirect the browser to its page."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import redirect, request
from werkzeug.wrappers import Response

from shared.web import new_reference
from sp.current import components
from sp.providers.provider import Provider
from sp.providers.registry import Trusted
from sp.redirects import add_query, own_path
from sp.sessions.cookies import set_session_cookie
from sp.signin.binding import gets_access_token
from sp.signin.opening import Opening
from sp.signin.pending import Pending
from sp.signin.verification import Verified
from sp.views.people import presented_session, visitor


def enter(
    verified: Verified, trusted: Trusted, pending: Pending | None, landing: str, *, answered: bool = False
) -> Response:
    """Spend the token (with *answered*: the person's yes to it), open the session, and redirect to *landing*."""
    provider = trusted.provider
    opening = Opening(
        visitor(provider.token_parameter),
        new_reference(),
        return_path=landing,
        pending_hash=pending.nonce_hash if pending else None,
        access_token=gets_access_token(provider, landing, return_page(provider)),
        replacing=presented_session(),
        answered=answered,
    )
    signed_in = components().sign_in.with_token(verified, trusted, opening)
    response = redirect(_with_access_token(landing, provider, signed_in.access_token), 303)
    set_session_cookie(response, signed_in.secret, https=components().config.https)
    components().landings.note(response, request.cookies, landing)
    if pending:
        components().pending.finish(response, pending)
    return response


def return_page(provider: Provider) -> str:
    """Return the provider's page after sign-in: a path on this site, or the URL of another site."""
    return path_of_ours(provider.return_url) or provider.return_url or "/"


def path_of_ours(url: str | None) -> str | None:
    """Return *url* as a path of this gateway's site, or None."""
    return own_path(url, components().config.external_url)


def _with_access_token(landing: str, provider: Provider, access_token: str | None) -> str:
    """Return *landing* with the access token added if the provider's settings require it (as LoginRadius does)."""
    if access_token is None:
        return landing
    values = {"access_token": access_token, "token_type": "Bearer", "expires_in": str(components().sessions.lifetime)}
    if provider.access_token_delivery == "query":
        return add_query(landing, **values)
    return f"{landing.partition('#')[0]}#{urlencode(values)}"
