"""Verify a sign-out token of an identity provider, and read whose sessions end. Pure.

OpenID Connect Back-Channel Logout 1.0, section 2.4 to 2.6. A sign-out token says by its type that it is one, so that
a sign-in token never signs anyone out; and a token that we made ourselves, for the provider to read, is never taken
back as the provider's own word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from shared.claims import Claims, find_claim
from shared.errors import (
    AudienceMismatch,
    ClaimInvalid,
    ClaimMissing,
    IssuerMismatch,
    TokenExpired,
    TokenNotYetValid,
    TokenTooOld,
    TokenTypeWrong,
)
from shared.keys import KeySet
from shared.tokens import SIGN_OUT_TYPE, open_signed
from sp.emails import email_as_id, email_key
from sp.providers.provider import Provider
from sp.sessions.sign_out import SignOut
from sp.signin.verification import MAX_TOKEN_ID_LENGTH, REMEMBERED_LONGER

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"  # section 2.4


def verify_sign_out(
    unverified_token: str, provider: Provider, keys: KeySet, now: float, *, our_url: str, back_channel: bool
) -> SignOut:
    """Return whose sessions are to end, or raise the Rejection that says why none are. Spends nothing."""
    opened = open_signed(unverified_token, keys, provider.algorithm)
    claims = Claims.parse(opened.payload, numeric_token_id=provider.numeric_token_id)
    check_type(opened.header)
    check_event(claims, required=back_channel)
    check_origin(claims, provider, our_url)
    token_id = check_required(claims)
    check_clock(claims, provider, now)
    return _read(claims, provider, token_id)


def check_type(header: Mapping[str, Any]) -> None:
    """The token says that it is for signing out (RFC 8725, section 3.11)."""
    typ = str(header.get("typ", "")).lower().removeprefix("application/")
    if typ != SIGN_OUT_TYPE:
        raise TokenTypeWrong(f"this is not a sign-out token: its typ must be {SIGN_OUT_TYPE}")


def check_event(claims: Claims, *, required: bool) -> None:
    """The event is a sign-out, and there is no nonce, so that it cannot pass as an ID token (section 2.4)."""
    events = claims.raw.get("events")
    if events is None and required:
        raise ClaimMissing("a sign-out token must have the claim events", claim="events")
    if events is not None and not (isinstance(events, dict) and isinstance(events.get(LOGOUT_EVENT), dict)):
        raise ClaimInvalid("events does not name the sign-out event", claim="events")
    if "nonce" in claims.raw:
        raise ClaimInvalid("a sign-out token must not have a nonce", claim="nonce")


def check_origin(claims: Claims, provider: Provider, our_url: str) -> None:
    """The provider made the token, and for us."""
    if claims.issuer == our_url:
        raise IssuerMismatch("this token was issued by the gateway, not by the provider")
    issuer, audience = provider.issuer, provider.audience
    if issuer.expected and issuer.match and claims.issuer != issuer.expected:
        raise IssuerMismatch(f"iss is {(claims.issuer or 'missing')[:100]}, expected: {issuer.expected}")
    if audience.expected and audience.match and audience.expected not in claims.audience:
        raise AudienceMismatch(f"aud does not contain {audience.expected}")


def check_required(claims: Claims) -> str:
    """The claims of every sign-out token are there; return the token's id."""
    for name, value in (("iat", claims.issued_at), ("exp", claims.expires_at), ("jti", claims.token_id)):
        if value is None:
            raise ClaimMissing(f"a sign-out token must have the claim {name}", claim=name)
    token_id = claims.token_id or ""
    if len(token_id) > MAX_TOKEN_ID_LENGTH:
        raise ClaimInvalid(f"jti is longer than {MAX_TOKEN_ID_LENGTH} characters", claim="jti")
    return token_id


def check_clock(claims: Claims, provider: Provider, now: float) -> None:
    """The token was made a moment ago and has not expired, give or take the clock skew."""
    issued_at, expires_at, skew = claims.issued_at or 0.0, claims.expires_at or 0.0, provider.clock_skew
    if max(issued_at, claims.not_before or 0.0) > now + skew:
        raise TokenNotYetValid("the token was issued in the future: the clocks differ")
    if now - expires_at - skew >= 0:
        raise TokenExpired(f"the token expired {now - expires_at:.0f} seconds ago, by this server's clock")
    if now - issued_at > provider.max_age + skew:
        raise TokenTooOld(f"the token was issued {now - issued_at:.0f} seconds ago")


def _read(claims: Claims, provider: Provider, token_id: str) -> SignOut:
    mapping = dict(provider.mapping)
    id_claims, email_claims = mapping.get("id", ()), mapping.get("email", ())
    subjects = frozenset(
        email_as_id(text) if name in email_claims else text for name, text in _texts(claims, id_claims)
    )  # fmt: skip
    emails = frozenset(email_key(text) for _name, text in _texts(claims, email_claims))
    names = tuple(_texts(claims, [name for name in dict.fromkeys(("sub", *id_claims)) if name not in email_claims]))
    sid = claims.raw.get("sid")
    if sid is not None and (not isinstance(sid, str) or not sid):
        raise ClaimInvalid("sid must be text", claim="sid")
    if sid is None and claims.subject is None and not subjects and not emails:
        raise ClaimMissing("the token does not identify a person or session: it has neither sub nor sid", claim="sub")
    last = min(claims.expires_at or 0, (claims.issued_at or 0) + provider.max_age)
    return SignOut(
        provider=provider.name,
        token_id=token_id,
        until=int(last) + provider.clock_skew + 1 + REMEMBERED_LONGER,
        sid=sid,
        subjects=subjects,
        sub=claims.subject if not id_claims or id_claims[0] != "sub" else None,
        emails=frozenset() if any(_texts(claims, id_claims[:1])) else emails,
        names=names,
    )


def _texts(claims: Claims, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        value = find_claim(claims.raw, name)
        if type(value) is int:
            value = str(value)
        if isinstance(value, str) and value:
            yield name, value
