"""Make the token that signs a person in to a service.

The time, the key and the token's ID are arguments, so the same arguments give a token with the same claims. The preset
and the claims mapping decide which claims a service receives (services.py). The directory provides the person
(people.py).

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from idp.people import Person
from idp.services import Service
from shared.keys import SYMMETRIC, TokenKey
from shared.tokens import sign

TOKEN_ID_BYTES = 16  # 128 random bits: unique, and impossible to guess
METHODS = ["pwd"]  # RFC 8176, section 2: people can sign in only with a password here


@dataclass(frozen=True)
class SignInRequest:
    """The request of a service: its nonce, and the parameters to return with the token. Both are unchanged."""

    nonce: str = ""
    echoed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SessionFacts:
    """How and when the person signed in here, and the `sid` of their session at the service."""

    sid: str
    auth_time: int


def issue(
    person: Person,
    service: Service,
    request: SignInRequest,
    session: SessionFacts,
    *,
    key: TokenKey,
    token_id: str,
    now: int,
    our_url: str,
) -> str:
    """Return a signed token (RFC 7519) for *person* at *service*, valid from *now* for the service's lifetime."""
    claims: dict[str, Any] = {"iat": now, "jti": token_id, "exp": now + service.lifetime}
    if service.issuer or service.addressed:
        claims["iss"] = issuer_of(service, our_url)
    if service.audience or service.addressed:
        claims["aud"] = audience_of(service)
    if service.addressed:
        claims["nbf"] = now
    if service.nonce and request.nonce:
        claims["nonce"] = request.nonce
    if service.session_claims:
        claims |= {"sid": session.sid, "auth_time": session.auth_time, "amr": METHODS}
    claims |= mapped_claims(person, service)
    return sign(claims, key, kid=key.algorithm not in SYMMETRIC)


def generate_token_id() -> str:
    """Return a new jti."""
    return secrets.token_urlsafe(TOKEN_ID_BYTES)


def mapped_claims(person: Person, service: Service) -> dict[str, Any]:
    """Return the claims of *person* by the service's claims mapping. Empty fields are left out."""
    values = {claim: person.value_of(source) for claim, source in service.claims.items()}
    return {claim: value for claim, value in values.items() if value is not None}


def naming_claims(person: Person, service: Service) -> dict[str, str]:
    """Return the claims that may identify *person* at *service*: all mapped claims except lists such as groups."""
    return {claim: value for claim, value in mapped_claims(person, service).items() if isinstance(value, str)}


def issuer_of(service: Service, our_url: str) -> str:
    """Return our issuer name (`iss`) in tokens for *service*."""
    return service.issuer or our_url


def audience_of(service: Service) -> str:
    """Return the audience by which *service* recognises its tokens."""
    return service.audience or service.origin


def return_url(service: Service, request: SignInRequest, sent: Mapping[str, str] | None = None) -> str:
    """Return the URL for the browser: the registered URL, with the echoed and the *sent* parameters in its query."""
    parameters = {**request.echoed, **(sent or {})}
    if not parameters:
        return service.return_url
    joint = "&" if "?" in service.return_url else "?"
    return service.return_url + joint + urlencode(parameters, quote_via=quote)
