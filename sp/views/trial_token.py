"""Receive the token of a trial sign-in, whose result is a report and not a session."""

from __future__ import annotations

from flask import redirect
from flask.typing import ResponseReturnValue

from shared.current import current_request
from shared.errors import Rejection, TokenMalformed
from shared.tokens import read_object, take_apart
from shared.web import new_reference
from sp.current import components
from sp.signin.pending import Pending
from sp.views.delivery import delivery_for, way_of
from sp.views.people import visitor


def answer(provider_name: str | None) -> ResponseReturnValue | None:
    """Receive the token of a trial sign-in, and return a redirect to its report.

    Return None if the token answers no trial of this browser, and for a HEAD request. The caller then handles the token
    as an ordinary one.
    """
    request = current_request()
    if request.method == "HEAD":
        return None
    name = _name_of(provider_name)
    if name is None or not components().pending.trials(request.cookies, name):
        return None
    trusted = components().provider_registry.find_now(name)  # not cached: the trial tests the newest settings
    provider = trusted.provider
    token, way, refusal = "", "", None
    try:
        delivery = delivery_for(provider)
        token, way = delivery.unverified_token, delivery.way
    except Rejection as rejection:
        way, refusal = way_of(provider.token_parameter), rejection
    pending = _answered_trial(provider.name, token)
    if pending is None:
        return None
    here = visitor(way)
    if refusal is not None:
        components().trials.fail(pending, refusal, provider.name, here, reference=new_reference())
    else:
        components().trials.conclude(pending, token, trusted, here, reference=new_reference())
    response = redirect(pending.return_path, 303)
    components().pending.finish(response, pending)
    return response


def _name_of(provider_name: str | None) -> str | None:
    """Return the name of the provider that the token is for, or None if there is no default provider."""
    if provider_name is not None:
        return provider_name.lower()
    try:
        return components().provider_registry.find(None).provider.name
    except Rejection:
        return None


def _answered_trial(provider: str, unverified_token: str) -> Pending | None:
    """Return the trial that the token answers, or None.

    If the token has the nonce of a trial or of an ordinary sign-in, this nonce decides. If not, the token belongs to
    the newest trial, unless an ordinary sign-in was started later.

    The nonce is not verified here. That is safe: a trial opens no session, and an ordinary sign-in verifies the nonce.
    """
    started, cookies = components().pending, current_request().cookies
    trials, ordinary = started.trials(cookies, provider), started.read(cookies, provider)
    nonce = _unverified_nonce(unverified_token)
    for pending in (*trials, *ordinary):
        if nonce is not None and pending.nonce == nonce:
            return pending if pending.trial else None
    begun_later = bool(ordinary) and ordinary[0].started_at > trials[0].started_at
    return None if begun_later else trials[0]


def _unverified_nonce(unverified_token: str) -> str | None:
    try:
        nonce = read_object(take_apart(unverified_token).payload, "payload").get("nonce")
    except TokenMalformed:
        return None
    return nonce if isinstance(nonce, str) else None
