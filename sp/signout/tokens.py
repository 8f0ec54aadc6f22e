"""Verify a sign-out token of an identity provider, and read which sessions to end.

The checks follow OpenID Connect Back-Channel Logout 1.0, sections 2.4 to 2.6. The type in the token's header must be
that of a sign-out token, so a sign-in token cannot sign anyone out. If the gateway itself issued the token, for a
provider, it is rejected. So it cannot be sent back to the gateway.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from shared.claims import Claims, find_claim
from shared.errors import AudienceMismatch, ClaimInvalid, ClaimMissing, IssuerMismatch
from shared.keys import KeySet
from shared.logout_tokens import check_clock, check_event, check_type
from shared.tokens import open_signed
from sp.emails import email_as_id, email_key
from sp.providers.provider import Provider
from sp.sessions.provider_sign_out import SignOut
from sp.signin.verification import MAX_TOKEN_ID_LENGTH, REMEMBERED_LONGER


def verify_sign_out(
    unverified_token: str, provider: Provider, keys: KeySet, now: float, *, our_url: str, back_channel: bool
) -> SignOut:
    """Return the sign-out that the token asks for. Do not spend the token.

    Raises the Rejection that says why the token is not valid.
    """
    opened = open_signed(unverified_token, keys, provider.algorithm)
    claims = Claims.parse(opened.payload, numeric_token_id=provider.numeric_token_id)
    check_type(opened.header)
    check_event(claims, required=back_channel)
    check_origin(claims, provider, our_url)
    token_id = check_required(claims)
    check_clock(claims, now, clock_skew=provider.clock_skew, max_age=provider.max_age)
    signed: dict[str, Any] = {"header": opened.header, "claims": opened.payload, "key": opened.key.fingerprint}
    return replace(_read(claims, provider, token_id), **signed)


def check_origin(claims: Claims, provider: Provider, our_url: str) -> None:
    """Check that the gateway did not issue the token itself, and that issuer and audience are as expected.

    Issuer and audience are compared only if the provider's settings require it. Raises IssuerMismatch,
    AudienceMismatch.
    """
    if claims.issuer == our_url:
        raise IssuerMismatch("this token was issued by the gateway, not by the provider")
    issuer, audience = provider.issuer, provider.audience
    if issuer.expected and issuer.match and claims.issuer != issuer.expected:
        raise IssuerMismatch(f"iss is {(claims.issuer or 'missing')[:100]}, expected: {issuer.expected}")
    if audience.expected and audience.match and audience.expected not in claims.audience:
        raise AudienceMismatch(f"aud does not contain {audience.expected}")


def check_required(claims: Claims) -> str:
    """Check that the required claims of a sign-out token are present, and return the token's id."""
    for name, value in (("iat", claims.issued_at), ("exp", claims.expires_at), ("jti", claims.token_id)):
        if value is None:
            raise ClaimMissing(f"a sign-out token must have the claim {name}", claim=name)
    token_id = claims.token_id or ""
    if len(token_id) > MAX_TOKEN_ID_LENGTH:
        raise ClaimInvalid(f"jti is longer than {MAX_TOKEN_ID_LENGTH} characters", claim="jti")
    return token_id


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
