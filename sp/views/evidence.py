"""Collect the facts about a rejection from the current request, so that `sp.diagnosis` can find the cause."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial

from flask import request

from shared.clock import time_now
from shared.errors import Rejection, StoreUnavailable
from shared.keys import KeySet
from shared.tokens import redact
from sp.activity import record as activity
from sp.activity.cleaning import clean_text
from sp.current import components
from sp.providers.provider import Provider
from sp.signin.attempt import Attempt
from sp.signin.evidence import Arrival, EarlierUse, Evidence, Purpose
from sp.views.delivery import WAYS, sent_tokens, way_of

BACK_CHANNEL, FRONT_CHANNEL, CLIENTS = "sign_out.back_channel", "sign_out.front_channel", "api.token"
# Endpoints that take a token in one place only, as (parameter, way).
PLACES = {BACK_CHANNEL: ("logout_token", "form"), FRONT_CHANNEL: ("jwt", "query"), CLIENTS: ("assertion", "form")}
REMEMBERED = 2 * 86_400  # seconds for which an earlier use of a token is looked up
MOST_FIELDS = 50  # of a request that are searched, because a stranger may send any number
MAX_NAME = 40  # characters


def evidence_of(rejection: Rejection, known: Attempt, sent_to: str | None) -> Evidence:
    """Return all known facts about the rejected attempt of this request."""
    provider = known.provider
    every = _providers()
    own = every.get(provider.name, (provider, None))[1] if provider else None
    purpose: Purpose = "sign_out" if request.endpoint in (BACK_CHANNEL, FRONT_CHANNEL) else "sign_in"
    return Evidence(
        rejection=rejection,
        now=time_now(),
        arrival=_arrival(provider),
        purpose=purpose,
        provider=provider,
        keys=known.keys or own,
        verified=known.verified,
        others=every,
        asked=components().pending.read(request.cookies, provider.name) if provider else (),
        earlier=partial(_earlier, provider.name) if provider else lambda _key, _subject: None,
        ip=request.remote_addr or "",
        sent_to=sent_to,
        secrets=components().provider_registry.secrets(),
    )


def delivery_of(provider: Provider | None) -> str:
    """Return how this request delivers the token that its endpoint takes, for the log.

    If the token is not in the place where the endpoint takes it, return where else it is.
    """
    parameter, ways = _expected(provider)
    way = way_of(parameter, ways)
    return way_of(parameter) if way == "none" else way


def _expected(provider: Provider | None) -> tuple[str, tuple[str, ...]]:
    """Return the parameter in which this request's token is expected, and the ways in which the endpoint takes it."""
    if (place := PLACES.get(request.endpoint or "")) is not None:
        return place[0], place[1:]
    return provider.token_parameter if provider else "jwt", WAYS


def _arrival(provider: Provider | None) -> Arrival:
    """Return the tokens in this request, and their places."""
    parameter, ways = _expected(provider)
    scheme, _space, credentials = request.headers.get("Authorization", "").partition(" ")
    is_bearer = scheme.lower() == "bearer"
    # A token in a form or query where the endpoint does not take it is in `elsewhere`. The header is never in there.
    return Arrival(
        parameter=parameter,
        tokens=tuple(sent_tokens(parameter, ways) or sent_tokens(parameter, ["header"])),
        elsewhere=tuple(_elsewhere(parameter, ways)),
        names=tuple(_name(name) for name in [*request.form, *request.args][:MOST_FIELDS]),
        scheme=_name(scheme) if credentials and not is_bearer else "",
        content_type=request.mimetype,
        has_cookies=bool(request.cookies),
        is_bound=request.endpoint != CLIENTS and not is_bearer,
    )


def _elsewhere(parameter: str, ways: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each place, except the expected one, that contains something like a token."""
    body = request.get_json(silent=True) if request.is_json else None
    places = (
        ("form field", [*request.form.items()]),
        ("query parameter", [*request.args.items()]),
        ("JSON member", [*body.items()] if isinstance(body, dict) else []),
        ("cookie", [*request.cookies.items()]),
        ("header", [(n, v) for n, v in request.headers.items() if n not in ("Authorization", "Cookie", "Referer")]),
    )
    for place, values in places:
        for name, value in values[:MOST_FIELDS]:
            is_expected = name == parameter and place.partition(" ")[0] in ways
            if not is_expected and isinstance(value, str) and _looks_like_a_token(value):
                yield place, _name(name)


def _looks_like_a_token(value: str) -> bool:
    return value.count(".") in (2, 4) and "=" not in value and redact(value) != value


def _name(text: str) -> str:
    return clean_text(text, components().provider_registry.secrets())[:MAX_NAME]


def _providers() -> dict[str, tuple[Provider, KeySet | None]]:
    """Return every provider with its configured keys, or nothing if the database does not answer. Fetch no keys."""
    try:
        every = components().provider_registry.all()
    except StoreUnavailable:
        return {}
    return {trusted.provider.name: (trusted.provider, trusted.configured) for trusted in every}


def _earlier(provider: str, key: bytes, subject: str) -> EarlierUse | None:
    with components().database.reading() as connection:
        row = activity.first_use_of(connection, provider, subject, key, int(time_now()) - REMEMBERED)
    return EarlierUse(*row) if row else None
