"""Find the token in a request, and how it was delivered: in the query, in a form, or in the Authorization header."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from werkzeug.exceptions import HTTPException

from shared.current import current_request
from shared.errors import DeliveryNotAllowed, TokenMalformed, TokenMissing
from shared.web import prefers_json
from sp.providers.provider import Provider

WAYS = ("header", "form", "query")


@dataclass(frozen=True)
class Delivery:
    """A token and how it arrived. If `wants_json` is true, the answer is an access token instead of a cookie."""

    unverified_token: str
    way: str
    wants_json: bool


def delivery_for(provider: Provider) -> Delivery:
    """Return the request's token for *provider* and how it arrived.

    Raises TokenMissing, TokenMalformed if there are two tokens, or DeliveryNotAllowed.
    """
    found = sent_tokens(provider.token_parameter)
    if len(found) > 1:
        raise TokenMalformed(
            f"the request has {len(found)} tokens, but must have one: {', '.join(way for way, _token in found[:5])}"
        )
    for way, unverified_token in found:
        if way not in provider.deliveries:
            raise DeliveryNotAllowed(f"the token arrived by {way}; allowed: {', '.join(provider.deliveries)}")
        return Delivery(unverified_token, way, way == "header" or prefers_json())
    raise TokenMissing(f"the token is missing; it is expected in the parameter {provider.token_parameter}")


def sent_tokens(parameter: str, ways: Collection[str] = WAYS) -> list[tuple[str, str]]:
    """Return each token of the request as (way, token). In a form or in the query, its name is *parameter*.

    Only *ways* are tried. Raises werkzeug's HTTPException if the body is too large.
    """
    request = current_request()
    sent: list[tuple[str, str]] = []
    if "header" in ways:
        scheme, _space, credentials = request.headers.get("Authorization", "").partition(" ")
        sent += [("header", credentials.strip())] if scheme.lower() == "bearer" else []
    if "form" in ways:
        sent += [("form", value) for value in request.form.getlist(parameter)]
    if "query" in ways:
        sent += [("query", value) for value in request.args.getlist(parameter)]
    return [(way, unverified_token) for way, unverified_token in sent if unverified_token]


def way_of(parameter: str, ways: Collection[str] = WAYS) -> str:
    """Return how this request delivers a token, for the log, or "none". Reject nothing."""
    try:
        found = sent_tokens(parameter, ways)
    except HTTPException:  # the body is too large, so it was never read
        found = sent_tokens(parameter, [way for way in ways if way != "form"])
    return found[0][0] if found else "none"
