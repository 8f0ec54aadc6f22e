"""Zendesk, as described in "Anatomy of a JWT request" and "Enabling JWT single sign-on" (read in part, November 2026).

The articles are support.zendesk.com/hc/en-us/articles/4408881965722 and /4408845838874. According to the answers of
Zendesk's staff below them, a header without typ or alg counts as an invalid signature. The claims and the form are
those of the samples in github.com/zendesk/zendesk_jwt_sso_examples. A jti may be a number: "Anatomy of a JWT request"
shows 8883362531196.326.

docs/guides/zendesk.md describes two further facts: iat must be within three minutes of now, and a rejection redirects
to the Remote logout URL with kind=error and a message.

The articles require HTTP POST, because a token must not be in a URL. The emulator rejects GET, but Zendesk may still
accept it.
"""

from __future__ import annotations

from lab.services.arrival import Arrival
from lab.services.memory import Attempt, Begun
from lab.services.product import Product, Refusal, Situation, path_here, with_query
from lab.services.rule import (
    RFC,
    Rule,
    both,
    delivered_by,
    is_jwt,
    not_expired,
    not_later_than,
    not_older_than,
    not_too_early,
    shown,
    signed_with,
    single_use,
    text_claim,
    time_claim,
    typed,
)

ANATOMY = "Anatomy of a JWT request"
SAMPLES = "zendesk_jwt_sso_examples"
GUIDE = "docs/guides/zendesk.md, Clocks"
MAX_DIFFERENCE = 180  # seconds: "three minutes"


def _text_or_number(arrival: Arrival) -> str:
    if "jti" not in arrival.claims:
        return "it is missing"
    value = arrival.claims["jti"]
    is_fit = isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""
    return "" if is_fit else f"it is {shown(value)}"


def _begin(situation: Situation, begun: Begun) -> str:
    """Return the login URL with the requested page and the other parameters."""
    return with_query(
        situation.settings.login_url,
        brand_id="360000000001",
        locale_id="1",
        return_to=situation.origin + begun.return_to,
        timestamp=str(int(situation.now)),
    )


def _refuse(situation: Situation, attempt: Attempt) -> Refusal:
    if not situation.settings.logout_url:
        return Refusal(401)
    message = f"{attempt.rule}: {attempt.found}"
    return Refusal(302, with_query(situation.settings.logout_url, kind="error", message=message))


PRODUCT = Product(
    name="zendesk",
    title="Zendesk",
    token_path="/access/jwt",
    parameter="jwt",
    deliveries=("form",),
    algorithms=("HS256",),
    rules=(
        *delivered_by(("form",), "jwt", f"{ANATOMY}: HTTP POST"),
        is_jwt(ANATOMY),
        typed(f"{ANATOMY}: header"),
        *signed_with(("HS256",), f"{ANATOMY}: header and signature"),
        time_claim(
            "iat",
            "iat is when the token was created, in seconds, within three minutes of now.",
            GUIDE,
            check=both(not_older_than(MAX_DIFFERENCE), not_later_than(MAX_DIFFERENCE)),
        ),
        Rule("jti", "jti is the token's identifier, a text or a number.", f"{SAMPLES}; {ANATOMY}", _text_or_number),
        text_claim("email", "email is the person's e-mail address.", SAMPLES),
        text_claim("name", "name is the person's name.", SAMPLES),
        time_claim("exp", "exp, if it is there, has not passed.", f"{RFC} 4.1.4", required=False, check=not_expired),
        not_too_early(),
        single_use(
            f"{SAMPLES}: a new jti for each token; {RFC} 4.1.7",
            until=lambda arrival: arrival.claims["iat"] + MAX_DIFFERENCE,
        ),
    ),
    begin=_begin,
    landing=lambda arrival: path_here(arrival.parameters.get("return_to", ""), arrival.origin) or "/",
    refuse=_refuse,
)
