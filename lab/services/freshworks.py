"""Freshworks (Freshdesk, Freshservice), as described in its articles on sign-on with JWT (read in November 2026).

The articles are "How to configure SSO with custom JWT implementation" (support.freshworks.com, 50000000670), "Basics of
JWT", "Setting up the id_token" and "IDP errors for OAuth, OIDC, JWT SSO" (supportsandbox.freshdesk.com, 11000000028069,
-28109, -28132).

The sign-in is OAuth's implicit flow. Freshworks begins it, with state, nonce and redirect_uri. The token is signed with
RS256, and has sub, email, iat and nonce. It comes back as redirect_uri?state=…&id_token=…

The articles give the texts of errors, but not their status. The emulator answers 401.
"""

from __future__ import annotations

from lab.services.arrival import Arrival
from lab.services.memory import Begun
from lab.services.product import Product, Situation, with_query
from lab.services.rule import (
    CLOCKS,
    RFC,
    Rule,
    delivered_by,
    is_jwt,
    not_expired,
    not_later_than,
    not_too_early,
    signed_with,
    text_claim,
    time_claim,
    typed,
)

SETUP = "How to configure SSO with custom JWT implementation"
PAYLOAD = "Setting up the id_token"
ERRORS = "IDP errors for OAuth, OIDC, JWT SSO: invalid state param or nonce param"
CLIENT_ID = "302836020429100183"  # of the article's example
TOKEN_PATH = f"/sp/OIDC/{CLIENT_ID}/implicit"


def _is_answer_to(arrival: Arrival, begun: Begun) -> bool:
    return begun.state == arrival.parameters.get("state", "")


def _state(arrival: Arrival) -> str:
    if not arrival.parameters.get("state"):
        return "it is missing"
    return "" if arrival.begun else "this browser has not begun a sign-in with it, or has ended it"


def _nonce(arrival: Arrival) -> str:
    nonce = arrival.claims.get("nonce")
    if nonce is None:
        return "it is missing"
    return "" if arrival.begun and nonce == arrival.begun.nonce else "it is another one"


def _end(arrival: Arrival) -> str:
    return "" if arrival.end() else "another request has ended it"


def _begin(situation: Situation, begun: Begun) -> str:
    return with_query(
        situation.settings.login_url,
        response_type="id_token",
        client_id=CLIENT_ID,
        scope="openid email profile",
        state=begun.state,
        redirect_uri=situation.origin + TOKEN_PATH,
        nonce=begun.nonce,
    )


PRODUCT = Product(
    name="freshworks",
    title="Freshworks",
    token_path=TOKEN_PATH,
    parameter="id_token",
    deliveries=("query",),
    algorithms=("RS256",),
    rules=(
        *delivered_by(("query",), "id_token", f"{PAYLOAD}: redirect_uri?state=…&id_token=…"),
        is_jwt(SETUP),
        typed(f"{SETUP}: header"),
        *signed_with(("RS256",), f"{SETUP}: header and signature"),
        text_claim("sub", "sub is the person's ID, a text.", PAYLOAD),
        text_claim("email", "email is the person's e-mail address, a text.", PAYLOAD),
        time_claim(
            "iat",
            f"iat is when the token was created, in seconds, and at most {CLOCKS} seconds ahead.",
            PAYLOAD,
            check=not_later_than(CLOCKS),
        ),
        time_claim("exp", "exp, if it is there, has not passed.", f"{RFC} 4.1.4", required=False, check=not_expired),
        not_too_early(),
        Rule("state", "state comes back as Freshworks sent it to this browser.", ERRORS, _state),
        Rule("nonce", "nonce in the token is the one that Freshworks sent with this state.", ERRORS, _nonce),
        Rule("single-use", "Each state ends one sign-in.", "RFC 6749, section 10.12", _end),
    ),
    begin=_begin,
    landing=lambda arrival: arrival.begun.return_to if arrival.begun else "/",
    is_answer_to=_is_answer_to,
)
