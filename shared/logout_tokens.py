"""Make sign-out tokens, and check their type, event and age.

The rules come from OpenID Connect Back-Channel Logout 1.0, sections 2.4 to 2.6. The gateway and the identity provider
both send and receive sign-out tokens. A token is a sign-out token because of its type or event, not because of the URL
at which it arrives. So a sign-in token cannot sign anyone out, and a sign-out token cannot sign anyone in. Each program
itself decides which senders it accepts and which person a token signs out. Pure code: it does no I/O and reads no
clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.claims import Claims
from shared.errors import ClaimInvalid, ClaimMissing, TokenExpired, TokenNotYetValid, TokenTooOld, TokenTypeWrong
from shared.keys import TokenKey
from shared.tokens import SIGN_IN_TYPE, SIGN_OUT_TYPE, sign

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"  # section 2.4


def make_sign_out_token(
    named: Mapping[str, Any],
    key: TokenKey,
    *,
    issuer: str,
    audience: str = "",
    token_id: str,
    now: int,
    lifetime: int,
    kid: bool = False,
) -> str:
    """Return a signed sign-out token that is valid for *lifetime* seconds from *now*.

    *named* are the claims that identify the person or session. They cannot replace the claims that this function sets.
    """
    claims = {
        **named,
        "iss": issuer,
        **({"aud": audience} if audience else {}),
        "iat": now,
        "exp": now + lifetime,
        "jti": token_id,
        "events": {LOGOUT_EVENT: {}},
    }
    return sign(claims, key, typ=SIGN_OUT_TYPE, kid=kid)


def token_type(header: Mapping[str, Any]) -> str:
    """Return the token's type in lower case and without "application/" (RFC 7515, section 4.1.9).

    The default is jwt.
    """
    return str(header.get("typ", SIGN_IN_TYPE)).lower().removeprefix("application/")


def check_type(header: Mapping[str, Any]) -> None:
    """Check that the type of the token is that of sign-out tokens (RFC 8725, section 3.11). Raises TokenTypeWrong."""
    if token_type(header) != SIGN_OUT_TYPE:
        raise TokenTypeWrong(f"this is not a sign-out token: its typ must be {SIGN_OUT_TYPE}")


def check_event(claims: Claims, *, required: bool = False) -> None:
    """Check that the event is a sign-out, and that there is no nonce (section 2.4). Raises ClaimMissing, ClaimInvalid.

    Without a nonce, a sign-out token cannot be used as an ID token.
    """
    events = claims.raw.get("events")
    if events is None and required:
        raise ClaimMissing("a sign-out token must have the claim events", claim="events")
    if events is not None and not (isinstance(events, dict) and isinstance(events.get(LOGOUT_EVENT), dict)):
        raise ClaimInvalid("events does not name the sign-out event", claim="events")
    if claims.nonce is not None:
        raise ClaimInvalid("a sign-out token must not have a nonce", claim="nonce")


def check_clock(claims: Claims, now: float, *, clock_skew: int, max_age: int) -> None:
    """Check that the token is recent and has not expired. The clocks may differ by *clock_skew* seconds.

    Raises TokenNotYetValid, TokenExpired, TokenTooOld, or ClaimMissing if there is no iat. No token is valid for
    longer than *max_age* seconds after its iat, with or without an exp.
    """
    issued_at, expires_at = claims.issued_at, claims.expires_at
    if max(issued_at or 0.0, claims.not_before or 0.0) > now + clock_skew:
        raise TokenNotYetValid("the token was issued in the future: the clocks differ")
    if expires_at is not None and now - expires_at - clock_skew >= 0:
        raise TokenExpired(f"the token expired {now - expires_at:.0f} seconds ago, by this server's clock")
    if issued_at is None:
        raise ClaimMissing("a sign-out token must have the claim iat", claim="iat")
    if now - issued_at > max_age + clock_skew:
        raise TokenTooOld(f"the token was issued {now - issued_at:.0f} seconds ago")
