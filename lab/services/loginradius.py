"""LoginRadius with a custom JWT provider, as described in "JWT Provider" (LoginRadius documentation, November 2026).

The document (www.loginradius.com/docs/authentication/identity-providers/custom-idps/jwt-provider) describes this:

- An administrator chooses one of nine algorithms, maps the ID, and decides which claims are mandatory.
- The token is in the parameter jwttoken, in the query string or in a POST.
- No new accounts are created. People who have an account get an access token.
- Every rejection redirects to /access/jwt/error.

In the emulator, Subject and Expiration Time are mandatory, the clock skew is 0, and the ID is mapped from `id`.

The document does not name the parameter of the access token, so the emulator calls it access_token. It requires no jti,
and does not mention a second use of a token, so the emulator accepts a second use.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from lab.forging import ALGORITHMS
from lab.services.arrival import Arrival
from lab.services.memory import Attempt, Begun
from lab.services.product import Product, Refusal, Situation, with_query
from lab.services.rule import (
    RFC,
    Rule,
    delivered_by,
    is_jwt,
    not_expired,
    not_later_than,
    shown,
    signed_with,
    text_claim,
    time_claim,
)

DOCUMENT = "JWT Provider"
FLOW = f"{DOCUMENT}, How It Works"
REQUIRED = f"{DOCUMENT}, Enable Required Parameters"
ERROR_PATH = "/access/jwt/error"


def _has_an_account(arrival: Arrival) -> str:
    email = str(arrival.claims.get("email", "")).casefold()
    if not arrival.people or email in {person.casefold() for person in arrival.people}:
        return ""
    return f"{shown(email)} has none"


def _begin(situation: Situation, _begun: Begun) -> str:
    return situation.settings.login_url


def _refuse(_situation: Situation, _attempt: Attempt) -> Refusal:
    return Refusal(302, ERROR_PATH)


def _signed_out(_situation: Situation, _claims: Mapping[str, Any]) -> str:
    return ""  # the document describes none


PRODUCT = Product(
    name="loginradius",
    title="LoginRadius",
    token_path="/access/jwt",
    parameter="jwttoken",
    deliveries=("query", "form"),
    algorithms=ALGORITHMS,
    rules=(
        *delivered_by(("query", "form"), "jwttoken", FLOW),
        is_jwt(FLOW),
        *signed_with(ALGORITHMS, f"{DOCUMENT}, Signing Algorithm"),
        text_claim("sub", "sub is there, a text: Subject is mandatory.", REQUIRED),
        time_claim(
            "exp",
            "exp is there, in seconds, and has not passed: Expiration Time is mandatory.",
            REQUIRED,
            check=not_expired,
        ),
        time_claim(
            "nbf",
            "nbf, if it is there, is not ahead.",
            f"{REQUIRED}; {RFC} 4.1.5",
            required=False,
            check=not_later_than(0, "nbf"),
        ),
        text_claim("id", "id is there, a text: the ID mapping is required.", f"{DOCUMENT}, Data Mapping"),
        Rule("account", "The person has an account: none is created.", FLOW, _has_an_account),
    ),
    begin=_begin,
    landing=lambda _arrival: with_query("/", access_token=secrets.token_urlsafe()),
    refuse=_refuse,
    signed_out=_signed_out,
    error_path=ERROR_PATH,
    person=("email", "sub"),
)
