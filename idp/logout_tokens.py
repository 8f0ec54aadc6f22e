"""Verify the sign-out tokens of services, and make sign-out tokens for services.

A sign-out token is marked by its type or by an `events` claim. Only a service with `untyped_logout` may send a token
without this mark, which must have a jti that was not issued here. So a sign-out token cannot be used as a sign-in
token, and a sign-in token cannot sign anyone out. This is necessary because one secret may sign tokens in both
directions. A token that we issued to a service is never accepted as a token from that service.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from idp.issuer import audience_of, issuer_of
from idp.services import Service
from shared.claims import Claims
from shared.errors import (
    AlgorithmNotAllowed,
    AudienceMismatch,
    ClaimMissing,
    IssuerMismatch,
    SignatureInvalid,
    TokenTypeWrong,
)
from shared.keys import SYMMETRIC, KeySet, TokenKey, load_key_set
from shared.logout_tokens import check_clock, check_event, make_sign_out_token, token_type
from shared.tokens import SIGN_IN_TYPE, SIGN_OUT_TYPE, Opened, open_signed, take_apart

LEEWAY = 60  # seconds that two clocks may differ; logout.php allows as many
MAX_AGE = 300  # seconds since iat: also limits tokens without exp, or with a distant one
ACCEPTABLE_FOR = 2 * LEEWAY + MAX_AGE  # seconds: the longest time in which a token can be used again
LIFETIME = 120  # seconds; OpenID Connect Back-Channel Logout 1.0, section 4: at most two minutes


@dataclass(frozen=True)
class SignOut:
    """A verified statement of a service: the person with this e-mail signed out there."""

    service: Service
    email: str
    token_id: str | None


def verify_sign_out(
    unverified_token: str,
    services: Sequence[Service],
    now: datetime,
    *,
    our_url: str,
    we_issued: Callable[[str], bool],
) -> SignOut:
    """Return the person whom the token signs out, and the service that sent it; or raise a Rejection.

    *we_issued* tells whether a token with this jti was issued here.
    """
    service, opened = _open_with_any(unverified_token, services, now)
    claims = Claims.parse(opened.payload, numeric_token_id=True)
    _check_type(opened.header, claims, service, we_issued)
    _check_origin(claims, service, our_url)
    check_clock(claims, int(now.timestamp()), clock_skew=LEEWAY, max_age=MAX_AGE)
    return SignOut(service, _email(claims), claims.token_id)


def make_sign_out(
    service: Service,
    *,
    subject: str,
    sid: str,
    named: Mapping[str, str],
    key: TokenKey,
    token_id: str,
    now: int,
    our_url: str,
) -> str:
    """Return a logout token for *service* (OpenID Connect Back-Channel Logout 1.0, section 2.4).

    *named* are the claims by which the service knows the person. A service needs them if its sign-in tokens had no
    `sub` or `sid`. If *sid* is empty, the token ends every session of the person.
    """
    return make_sign_out_token(
        {"sub": subject, **named, **({"sid": sid} if sid else {})},
        key,
        issuer=issuer_of(service, our_url),
        audience=audience_of(service),
        token_id=token_id,
        now=now,
        lifetime=LIFETIME,
        kid=key.algorithm not in SYMMETRIC,
    )


def _open_with_any(unverified_token: str, services: Sequence[Service], now: datetime) -> tuple[Service, Opened]:
    """Return the service whose key verifies the token, and the opened token. Only the signature shows who sent it."""
    take_apart(unverified_token)
    wrong_algorithm: AlgorithmNotAllowed | None = None
    for service, keys, algorithm in _candidates(services, now):
        try:
            return service, open_signed(unverified_token, keys, algorithm)
        except SignatureInvalid:
            wrong_algorithm = None
        except AlgorithmNotAllowed as rejection:
            wrong_algorithm = rejection
    raise wrong_algorithm or SignatureInvalid("the signature does not match a key of any registered service")


def _candidates(services: Sequence[Service], now: datetime) -> Iterator[tuple[Service, KeySet, str]]:
    for service in services:
        if service.logout_keys:
            algorithm = service.logout_algorithm or service.algorithm
            yield service, _logout_keys(service.logout_keys, algorithm, service.allow_short_secret), algorithm
        elif service.algorithm in SYMMETRIC:
            yield service, service.live_keys(now), service.algorithm


@lru_cache(maxsize=256)
def _logout_keys(materials: tuple[str, ...], algorithm: str, allow_short_secret: bool) -> KeySet:
    """Return the keys. They are cached, because anyone can send a token, and validating a key takes milliseconds."""
    return load_key_set(materials, algorithm, allow_short_secret=allow_short_secret)


def _check_type(header: Mapping[str, Any], claims: Claims, service: Service, we_issued: Callable[[str], bool]) -> None:
    typ = token_type(header)
    if typ == SIGN_OUT_TYPE or "events" in claims.raw:
        check_event(claims)
        return
    if typ != SIGN_IN_TYPE.lower() or not service.untyped_logout:
        raise TokenTypeWrong(f"this is not a sign-out token: its typ must be {SIGN_OUT_TYPE}")
    if claims.token_id is None or we_issued(claims.token_id):
        raise TokenTypeWrong("this is a sign-in token that was issued here, and sign-in tokens cannot sign out")


def _check_origin(claims: Claims, service: Service, our_url: str) -> None:
    ours = {our_url, issuer_of(service, our_url)}
    if claims.issuer in ours:
        raise IssuerMismatch("this token was issued here for the service; the service did not issue it")
    if claims.audience and not any(_same_site(audience, ours) for audience in claims.audience):
        raise AudienceMismatch("the audience of this token is another site")


def _same_site(audience: str, ours: set[str]) -> bool:
    """Tell whether *audience* is one of the names in *ours*, or a URL below one of them."""
    return any(audience == own or audience.startswith(f"{own}/") for own in ours)


def _email(claims: Claims) -> str:
    email = claims.raw.get("email")
    if not isinstance(email, str) or not email.strip():
        raise ClaimMissing("a sign-out token must have the e-mail of the user", claim="email")
    return email.strip()
