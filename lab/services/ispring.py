"""iSpring Learn, as described in two editions of "JWT Authorization" (iSpring's documentation, read in November 2026).

The editions are docs.ispringsolutions.com/ispring-learn/jwt-authorization-17301857.html and the older page of the same
name. According to them, the token has the claims iat, jti, exp and email, is signed with HS256, and is delivered by GET
at /sso/login/jwt?jwt=. There is also a Logout URL. The documentation writes the claims in capitals, but the article
"iSpring Learn SSO with JWT Technology" (www.ispringsolutions.com) spells them correctly.

The documents do not describe how a token is rejected, so the emulator answers 401. They do not describe the request to
the Logout URL either. The published sample logout.php accepts a token with the same four claims in the parameter jwt,
so the emulator sends such a token.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from lab.minting import mint
from lab.services.memory import Begun
from lab.services.product import Product, Situation, with_query
from lab.services.rule import (
    CLOCKS,
    RFC,
    delivered_by,
    is_jwt,
    not_expired,
    not_later_than,
    not_too_early,
    signed_with,
    single_use,
    text_claim,
    time_claim,
    typed,
)

PARTS = "JWT Authorization, Parts of JWT"
LINK = "JWT Authorization: GET /sso/login/jwt?jwt=XXXXXX.YYYYYY.ZZZ"
SIGN_OUT_LIFETIME = 60  # seconds


def _begin(situation: Situation, _begun: Begun) -> str:
    return situation.settings.login_url


def _signed_out(situation: Situation, claims: Mapping[str, Any]) -> str:
    """Send the person to the Logout URL with a token that names them. It has no sign-out type."""
    if not situation.settings.logout_url:
        return ""
    now = int(situation.now)
    token = {"iat": now, "jti": secrets.token_urlsafe(), "exp": now + SIGN_OUT_LIFETIME, "email": claims["email"]}
    return with_query(situation.settings.logout_url, jwt=mint(token, situation.verifier.secret.decode()))


PRODUCT = Product(
    name="ispring",
    title="iSpring Learn",
    token_path="/sso/login/jwt",
    parameter="jwt",
    deliveries=("query",),
    algorithms=("HS256",),
    rules=(
        *delivered_by(("query",), "jwt", LINK),
        is_jwt(PARTS),
        typed(PARTS),
        *signed_with(("HS256",), PARTS),
        time_claim(
            "iat",
            f"iat is when the token was created, in seconds, and at most {CLOCKS} seconds ahead.",
            PARTS,
            check=not_later_than(CLOCKS),
        ),
        text_claim("jti", "jti is the token's identifier, a text.", PARTS),
        time_claim("exp", "exp is when the token expires, in seconds, and has not passed.", PARTS, check=not_expired),
        not_too_early(),
        text_claim("email", "email is the person's e-mail address or user ID, a text.", PARTS),
        single_use(f"{PARTS}: jti; {RFC} 4.1.7", until=lambda arrival: arrival.claims["exp"]),
    ),
    begin=_begin,
    signed_out=_signed_out,
)
