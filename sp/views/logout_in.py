"""Handle sign-out requests of identity providers: server to server, and through the browser.

Both take a sign-out token and nothing else. The one through the browser ends the session of that browser only (and the
access token that came with it), and only if it is the person's whom the token names; neither ever begins a sign-in by
itself.
"""

from __future__ import annotations

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from shared.clock import time_now
from shared.errors import (
    AlgorithmNotAllowed,
    AudienceMismatch,
    IssuerMismatch,
    KeyUnavailable,
    Rejection,
    SignatureInvalid,
    TokenMissing,
    TokenReplayed,
)
from shared.keys import KeySet
from shared.web import new_reference, page
from sp.components import components
from sp.providers.patience import Patience
from sp.providers.provider import Provider
from sp.sessions.cookies import clear_session_cookie
from sp.sessions.sign_out import SignOut
from sp.sessions.store import hash_id
from sp.signin.attempt import known
from sp.signout.tokens import verify_sign_out
from sp.views.people import browser_secret, browser_session, visitor
from sp.views.refusals import write_down

views = Blueprint("logout_in", __name__)
NOT_THIS_PROVIDER = (AlgorithmNotAllowed, SignatureInvalid, KeyUnavailable, IssuerMismatch, AudienceMismatch)


@views.post("/sso/logout/backchannel")
def back_channel() -> ResponseReturnValue:
    """End sessions as the provider requests, and return how many (OpenID Connect Back-Channel Logout 1.0, 2.5 to 2.8).

    A provider that hears "0" knows that its person may still be signed in here, and need not tell them otherwise.
    """
    try:
        sign_out = _verify(request.form.getlist("logout_token"), back_channel=True)
        ended = _apply(sign_out)
    except Rejection as rejection:
        reference = write_down(rejection)
        body = {"error": rejection.code, "error_description": rejection.description, "reference": reference}
        return jsonify(body), 400
    return jsonify(sessions_ended=ended), 200


@views.get("/sso/logout/jwt")
def front_channel() -> ResponseReturnValue:
    """End this browser's session if it belongs to the person in the token, and show what happened."""
    if request.method == "HEAD":
        return "", 200  # looked at, not opened
    secret, session = browser_secret(), browser_session()
    try:
        sign_out = _verify(request.args.getlist("jwt"), back_channel=False)
        only = hash_id(secret) if secret else b""  # also of a session that is idle by now: its access token may not be
        ended = _apply(sign_out, only=only)
    except TokenReplayed as rejection:
        if session is not None:
            return _refused(rejection)
        ended = 0  # the page was loaded again
    except Rejection as rejection:
        return _refused(rejection)
    if session is not None and not ended:
        return page("sp/sign_out_of_other.html", session=session)
    response = page("sp/signed_out.html")
    if secret is not None:
        clear_session_cookie(response, https=components().config.https)
    return response


def _verify(tokens: list[str], *, back_channel: bool) -> SignOut:
    """Return what the one token says. Which provider sent it is shown by the signature alone."""
    if len(tokens) != 1 or not tokens[0]:
        raise TokenMissing("exactly one sign-out token is required")
    refusals: list[Rejection] = []
    patience = Patience()  # for all of them together
    for trusted in components().provider_registry.enabled():
        provider = trusted.provider

        def attempt(keys: KeySet, provider: Provider = provider) -> SignOut:
            return verify_sign_out(
                tokens[0],
                provider,
                keys,
                time_now(),
                our_url=components().config.external_url,
                back_channel=back_channel,
            )

        try:
            with known(provider):
                return trusted.with_keys(tokens[0], attempt, patience)
        except NOT_THIS_PROVIDER as rejection:
            refusals.append(rejection)
    refusal = max(refusals, key=_how_far, default=SignatureInvalid("there is no provider that can have signed it"))
    refusal.attempt = None
    raise refusal


def _how_far(rejection: Rejection) -> int:
    """Tell how far a token came at a provider: the refusal that says most is the one of the provider that meant it."""
    return (AlgorithmNotAllowed, SignatureInvalid, KeyUnavailable, AudienceMismatch, IssuerMismatch).index(
        type(rejection)
    )


def _apply(sign_out: SignOut, *, only: bytes | None = None) -> int:
    with known(components().provider_registry.get(sign_out.provider).provider):
        return components().sign_outs.apply(sign_out, visitor(), reference=new_reference(), only=only)


def _refused(rejection: Rejection) -> ResponseReturnValue:
    return page(
        "sp/sign_out_refused.html",
        rejection.status,
        rejection=rejection,
        reference=write_down(rejection),
    )
