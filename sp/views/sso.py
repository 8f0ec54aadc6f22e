"""Sign in by token: start the sign-in, and receive the token. `sp.views.refusals` answers rejections."""

from __future__ import annotations

from flask import Blueprint, jsonify, redirect, url_for
from flask.typing import ResponseReturnValue

from shared.clock import time_now
from shared.current import current_request
from shared.errors import (
    CookiesBlocked,
    NonceMismatch,
    TokenReplayed,
    Unsolicited,
)
from shared.web import answers_json, new_reference
from sp.activity.record import Visitor
from sp.current import components, current_site
from sp.providers.provider import Provider
from sp.providers.registry import Trusted
from sp.redirects import add_query
from sp.request.kind import is_from_elsewhere
from sp.sessions.store import API
from sp.signin.attempt import known, verify_with_keys
from sp.signin.binding import Answers, Restart, Unasked, bind, check_client
from sp.signin.opening import Opening
from sp.signin.pending import Pending
from sp.signin.verification import Verified
from sp.views import redirect_loops as loops
from sp.views import trial_token
from sp.views.choice import ask_for_provider, provider_for
from sp.views.delivery import Delivery, delivery_for
from sp.views.double_submit import landing_of_token
from sp.views.opening import enter, page_of_ours, pending_of, require_window, return_page
from sp.views.people import browser_session, visitor
from sp.views.questions import ask
from sp.views.site_start import begin_hand_over

views = Blueprint("sso", __name__)
RESTARTED = "restarted"  # parameter of /sso/start: an unsolicited token started the sign-in, not the person


@views.get("/sso/start", endpoint="start", defaults={"provider_name": None})
@views.get("/sso/start/<provider_name>", endpoint="start")
def start(provider_name: str | None) -> ResponseReturnValue:
    """Start a sign-in: remember the page and a nonce for this browser, and redirect to the provider.

    At a further site, redirect to home first, because the browser may be signed in at home. If several providers are
    possible, the person chooses one first (see `sp.views.choice`).
    """
    if not current_site().is_home:
        return begin_hand_over(provider_name)
    provider = provider_for(provider_name)
    if provider is None:
        return ask_for_provider()
    with known(provider):
        return _start(provider)


def _start(provider: Provider) -> ResponseReturnValue:
    request = current_request()
    landing = page_of_ours(request.args.get("return_to")) or return_page(provider)
    require_window()
    return_path = page_of_ours(landing) or ""  # "": use the provider's return_url, which is on another site
    if not provider.login_url:
        return redirect(url_for("signin.login", no_sso="", return_to=return_path or "/"), 303)
    if request.method == "HEAD":
        return "", 200
    if (cookie_test := loops.break_circle(provider, landing)) is not None:
        return cookie_test
    response = redirect("/", 303)
    elsewhere = RESTARTED in request.args or is_from_elsewhere(request.environ)
    pending = components().pending.begin(response, request.cookies, provider.name, return_path, elsewhere=elsewhere)
    absolute = components().config.external_url + landing if landing.startswith("/") else landing
    response.location = add_query(provider.login_url, return_to=absolute, nonce=pending.nonce)
    return response


@views.route("/sso/login/jwt", endpoint="login_jwt", methods=["GET", "POST"], defaults={"provider_name": None})
@views.route("/sso/login/jwt/<provider_name>", endpoint="login_jwt", methods=["GET", "POST"])
@views.route("/access/jwt", endpoint="access_jwt", methods=["GET", "POST"], defaults={"provider_name": None})
@views.route("/access/jwt/<provider_name>", endpoint="access_jwt", methods=["GET", "POST"])
def take_token(provider_name: str | None) -> ResponseReturnValue:
    """Receive a token, and open a session with it."""
    if not answers_json() and (report := trial_token.answer(provider_name)):
        return report
    trusted = components().provider_registry.get(provider_name)
    if current_request().method == "HEAD":
        return "", 200  # link previews and mail scanners spend no token
    with known(trusted.provider):
        delivery = delivery_for(trusted.provider)
        verified = verify_with_keys(delivery.unverified_token, trusted, time_now)
    with known(trusted.provider, verified):
        if delivery.wants_json:
            return _open_for_client(verified, trusted, delivery)
        return _open_for_browser(verified, trusted, visitor(delivery.way))


def _open_for_client(verified: Verified, trusted: Trusted, delivery: Delivery) -> ResponseReturnValue:
    """Answer a client that asks for JSON: an access token, and no cookie."""
    provider = trusted.provider
    if delivery.way != "header":
        check_client(verified.claims, provider, components().pending.read(current_request().cookies, provider.name))
    here, is_bound = visitor(delivery.way), delivery.way != "header"
    signed_in = components().sign_in.with_token(
        verified, trusted, Opening(here, new_reference(), API, is_bound=is_bound)
    )
    body = {"access_token": signed_in.secret, "token_type": "Bearer", "expires_in": components().sessions.lifetime}
    return jsonify(body)


def _open_for_browser(verified: Verified, trusted: Trusted, here: Visitor) -> ResponseReturnValue:
    """Sign the browser in, or redirect it if the same token has already signed it in."""
    started = pending_of(trusted.provider)
    try:
        return _open_bound(verified, trusted, here, started)
    except (TokenReplayed, NonceMismatch, Unsolicited):
        if (path := landing_of_token(verified.token_key, started)) is not None:
            return redirect(path, 303)
        raise


def _open_bound(verified: Verified, trusted: Trusted, here: Visitor, started: list[Pending]) -> ResponseReturnValue:
    provider, wanted = trusted.provider, _wanted_path(verified)
    match bind(
        verified.claims,
        provider,
        started,
        wanted=wanted,
        home=return_page(provider),
        signed_in=lambda: browser_session() is not None,
    ):
        case Restart():
            return _restart(verified, trusted, here, wanted or page_of_ours(provider.return_url))
        case Answers(pending, landing, must_ask=True):
            return ask(verified, trusted, here, started, pending, landing)
        case Answers(pending, landing):
            return enter(verified, trusted, here, pending, landing)
        case Unasked(landing):
            return enter(verified, trusted, here, None, landing)


def _restart(verified: Verified, trusted: Trusted, here: Visitor, return_path: str | None) -> ResponseReturnValue:
    """Open no session, but let the browser start a sign-in of this provider (docs/protocol.md, `unsolicited`)."""
    try:
        components().sign_in.restart(verified, trusted, here, reference=new_reference())
    except CookiesBlocked as blocked:
        raise loops.https_needed() or blocked from blocked
    again = url_for("sso.start", provider_name=trusted.provider.name, return_to=return_path, restarted="1")
    return redirect(again, 303)


def _wanted_path(verified: Verified) -> str | None:
    """Return the page that the token names, otherwise the page that the request names, if it is on one of our sites."""
    claim = verified.claims.raw.get("return_to")
    return page_of_ours(claim if isinstance(claim, str) else None) or page_of_ours(
        current_request().values.get("return_to")
    )
