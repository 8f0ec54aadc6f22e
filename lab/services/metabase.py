"""Metabase, as described in "JWT-based authentication" (Metabase documentation, version 65, read in November 2026).

According to www.metabase.com/docs/latest/people-and-groups/authenticating-with-jwt, /auth/sso sends people to the JWT
Identity Provider URI with return_to. It takes the token by GET, in the parameter jwt. Other details are from Metabase's
source, enterprise/…/sso/integrations/jwt.clj and sso_utils.clj (github.com/metabase/metabase):

- An iat is valid for three minutes.
- A rejected token gets 401.
- POST gets 400, and so does a return_to on another host.

Metabase requires no jti and accepts a token twice. It does not notify the identity provider of a sign-out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.services.arrival import Arrival
from lab.services.memory import Attempt, Begun
from lab.services.product import Product, Refusal, Situation, path_here, with_query
from lab.services.rule import (
    Rule,
    delivered_by,
    is_jwt,
    not_expired,
    not_older_than,
    not_too_early,
    shown,
    signed_with,
    text_claim,
    time_claim,
)

PAGE = "JWT-based authentication"
FLOW = f"{PAGE}, Typical flow"
SOURCE = "jwt.clj"
MAX_AGE = 180  # seconds: three-minutes-in-seconds
BAD_REQUESTS = ("delivery", "return-to")


def _return_to(arrival: Arrival) -> str:
    given = arrival.parameters.get("return_to", "")
    return "" if not given or path_here(given, arrival.origin) else f"it is {shown(given)}"


def _begin(situation: Situation, begun: Begun) -> str:
    return with_query(situation.settings.login_url, return_to=begun.return_to)


def _refuse(_situation: Situation, attempt: Attempt) -> Refusal:
    return Refusal(400 if attempt.rule in BAD_REQUESTS else 401)


def _signed_out(_situation: Situation, _claims: Mapping[str, Any]) -> str:
    return ""


PRODUCT = Product(
    name="metabase",
    title="Metabase",
    token_path="/auth/sso",
    parameter="jwt",
    deliveries=("query",),
    algorithms=("HS256",),
    rules=(
        *delivered_by(("query",), "jwt", f"{FLOW}; {SOURCE}: POST not valid"),
        Rule("return-to", "return_to, if it is there, is a page of this Metabase.", "sso_utils.clj", _return_to),
        is_jwt(PAGE),
        *signed_with(("HS256",), f"{PAGE}: signing key; {SOURCE}"),
        time_claim("exp", "exp, if it is there, has not passed.", SOURCE, required=False, check=not_expired),
        time_claim(
            "iat",
            "iat, if it is there, is at most three minutes ago.",
            SOURCE,
            required=False,
            check=not_older_than(MAX_AGE),
        ),
        not_too_early(),
        text_claim("email", "email is the person's e-mail address: the Email attribute.", PAGE),
    ),
    begin=_begin,
    landing=lambda arrival: path_here(arrival.parameters.get("return_to", ""), arrival.origin) or "/",
    refuse=_refuse,
    signed_out=_signed_out,
    start_path="/auth/sso",
    return_parameter="redirect",
)
