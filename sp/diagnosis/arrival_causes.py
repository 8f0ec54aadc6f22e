"""Name causes that are in the request: where the token was, whether it was asked for, which provider was named.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any
from urllib.parse import unquote

from sp.signin.evidence import Evidence

MANY_NAMES = 6


OTHER_PLACE = {"form field": "query parameter", "query parameter": "form field"}


def token_missing(evidence: Evidence, _claims: Mapping[str, Any]) -> str:
    """Say where the token is instead, or what the request contains."""
    arrival, wanted = evidence.arrival, evidence.arrival.parameter
    names = set(arrival.names)
    if arrival.elsewhere:
        place, name = arrival.elsewhere[0]
        if name == wanted and place in OTHER_PLACE:
            return f"The token arrived in the {place} {name}; this URL takes it only in a {OTHER_PLACE[place]}."
        return f"The token arrived in the {place} {name}; it is expected in the parameter {wanted}."
    if arrival.scheme:
        return f"The Authorization header has the scheme {arrival.scheme}; a token needs the scheme Bearer."
    if wanted in names:
        return f"The parameter {wanted} is there, but it is empty."
    if "SAMLResponse" in names:
        return "The request has a SAMLResponse: the sender speaks SAML, and a JWT is expected here."
    if "error" in names:
        return "The identity provider answered with an error instead of a token (parameter error)."
    if "code" in names:
        return "The request has a code of OAuth or OpenID Connect instead of a token."
    if names:
        listed = ", ".join(sorted(names)[:MANY_NAMES])
        return f"The request has no token: the parameter {wanted} is missing; it has only {listed}."
    return f"The request has no token and no parameters at all; the token is expected in the parameter {wanted}."


def nonce(evidence: Evidence, claims: Mapping[str, Any]) -> str:
    """Say why the nonce does not belong to a sign-in that this browser started. The text never shows a nonce."""
    sent = claims.get("nonce")
    if not isinstance(sent, str):
        return "The token has no nonce, and one is required: the sender must copy the nonce of the request."
    if not evidence.asked:
        return (
            f"The browser has not started a sign-in here{_without_cookies(evidence)}, so the nonce fits none: another "
            "browser started it, or it was more than an hour ago."
        )
    for one in evidence.asked:
        if changed := _how_it_was_changed(sent, one.nonce):
            return f"The sender changed the nonce: it is {changed}. It must be copied exactly."
    count = len(evidence.asked)
    started = "the sign-in" if count == 1 else f"the {count} sign-ins"
    return f"The nonce is of another sign-in than {started} that this browser has started: an older form was sent."


def unsolicited(evidence: Evidence, claims: Mapping[str, Any]) -> str:
    """Say that the browser had not started a sign-in."""
    if "not theirs" in evidence.rejection.detail:
        return evidence.rejection.detail
    return (
        f"The browser had not started a sign-in here{_without_cookies(evidence)}, and unsolicited sign-ins are "
        f"{'refused' if evidence.provider is None else evidence.provider.unsolicited} for this provider."
    )


def provider_unknown(evidence: Evidence, _claims: Mapping[str, Any]) -> str:
    """Name the provider that the sender probably meant."""
    detail = evidence.rejection.detail
    wrong = detail.removeprefix("the provider ").removesuffix(" does not exist")
    near = get_close_matches(wrong.lower(), evidence.others, n=1) if wrong != detail else []
    if near:
        return f"There is no provider {wrong}; the URL probably means {near[0]}."
    known = ", ".join(sorted(evidence.others)[:MANY_NAMES])
    return f"{detail}; known: {known}" if known and wrong != detail else detail


def _without_cookies(evidence: Evidence) -> str:
    return "" if evidence.arrival.has_cookies else " and sent no cookies"


def _how_it_was_changed(sent: str, nonce: str) -> str:
    cases = (
        (sent.lower() == nonce.lower(), "in other capitals"),
        (len(sent) >= 8 and nonce.startswith(sent), f"cut to {len(sent)} characters"),
        (sent.strip() == nonce, "with white space around it"),
        (unquote(sent) == nonce, "percent-encoded"),
        (sent.strip("\"'") == nonce, "in quotation marks"),
        (nonce in sent, "with something added"),
    )
    return next((how for holds, how in cases if holds), "")
