"""Discourse with DiscourseConnect, which sends a signed query string in both directions, and no JWT.

Sources, read in November 2026: "Setup DiscourseConnect" (meta.discourse.org/t/13045) and Discourse's source, which is
lib/discourse_connect_base.rb, app/models/discourse_connect.rb and app/controllers/session_controller.rb
(github.com/discourse/discourse).

The parameter `sso` is a payload: a query string in base64. The parameter `sig` is the HMAC-SHA256 of this base64 text
in hexadecimal digits. /session/sso sends a payload with a nonce and return_sso_url. /session/sso_login takes a payload
with the same nonce, external_id and email. A nonce is valid once, for ten minutes, in the browser that began the
sign-in.

The status of a rejection is the one in the source:

- 400: a parameter is missing.
- 422: the payload or the signature is not valid.
- 419: the nonce is not valid.
- 500: the person is not valid.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, b64encode
from urllib.parse import parse_qsl, urlencode

from lab.services.arrival import MAX_TOKEN, Arrival, OpenedToken, Unreadable
from lab.services.memory import Attempt, Begun
from lab.services.product import Product, Refusal, Situation, path_here, with_query
from lab.services.rule import Rule, ago, delivered_by, shown, text_claim

SETUP = "Setup DiscourseConnect"
BASE = "discourse_connect_base.rb"
MODEL = "discourse_connect.rb"
CONTROLLER = "session_controller.rb"
TOKEN_PATH = "/session/sso_login"
NONCE_SECONDS = 600  # nonce_expiry_time
BANNED_IDS = ("none", "nil", "blank", "null")  # BANNED_EXTERNAL_IDS
ALPHABET = re.compile(r"[a-zA-Z0-9=\r\n/+]*")
STATUSES = {"delivery": 404, "parameter": 400, "sig": 400, "format": 422, "signature": 422, "nonce": 419}
PERSON_REFUSED = 500


def sign(payload: str, secret: bytes) -> str:
    """Return the signature of a payload in base64."""
    return hmac.new(secret, payload.encode(), "sha256").hexdigest()


def open_payload(arrival: Arrival) -> OpenedToken:
    """Return the members of the payload. Raises Unreadable."""
    token = arrival.token
    if len(token) > MAX_TOKEN:
        raise Unreadable(f"it has more than {MAX_TOKEN:,} characters")
    if not ALPHABET.fullmatch(token):
        raise Unreadable("it has characters that are not base64: was it escaped for the URL, once?")
    try:
        members = dict(parse_qsl(b64decode(token).decode("utf-8"), keep_blank_values=True, max_num_fields=200))
    except ValueError:
        raise Unreadable("it is not a query string in base64") from None
    return OpenedToken(members, token.encode(), arrival.parameters.get("sig", "").encode())


def _readable(arrival: Arrival) -> str:
    return "" if arrival.opened else "it cannot be read"


def _signature(arrival: Arrival) -> str:
    expected = sign(arrival.token, arrival.verifier.secret).encode()
    return "" if hmac.compare_digest(expected, arrival.opened.signature) else "it does not fit"


def _is_answer_to(arrival: Arrival, begun: Begun) -> bool:
    return begun.nonce == arrival.claims.get("nonce")


def _spend_nonce(arrival: Arrival) -> str:
    """Check the nonce and spend it. Discourse does so before it reads the person."""
    if not arrival.claims.get("nonce"):
        return "it is missing"
    if arrival.begun is None or not arrival.end():
        return "it is wrong, was used, or is of another browser"
    age = arrival.now - arrival.begun.at
    return f"it was made {ago(age)}" if age >= NONCE_SECONDS else ""


def _banned(arrival: Arrival) -> str:
    external_id = arrival.claims["external_id"]
    return f"it is {shown(external_id)}" if external_id.lower() in BANNED_IDS else ""


def _begin(situation: Situation, begun: Begun) -> str:
    members = {"nonce": begun.nonce, "return_sso_url": situation.origin + TOKEN_PATH}
    payload = b64encode(urlencode(members).encode()).decode()
    return with_query(situation.settings.login_url, sso=payload, sig=sign(payload, situation.verifier.secret))


def _refuse(_situation: Situation, attempt: Attempt) -> Refusal:
    return Refusal(STATUSES.get(attempt.rule, PERSON_REFUSED))


PRODUCT = Product(
    name="discourse",
    title="Discourse",
    token_path=TOKEN_PATH,
    parameter="sso",
    deliveries=("query",),
    algorithms=("HS256",),
    rules=(
        *delivered_by(("query",), "sso", f"{SETUP}; {CONTROLLER}: require sso"),
        Rule(
            "sig",
            "The signature is in the parameter sig.",
            f"{CONTROLLER}: require sig",
            lambda arrival: "" if arrival.parameters.get("sig") else "it is missing",
        ),
        Rule("format", "sso is a query string in base64.", BASE, _readable),
        Rule("signature", "sig is HMAC-SHA256 of sso, in hexadecimal digits, with the secret.", BASE, _signature),
        Rule("nonce", "nonce is one that this browser got, not used, at most ten minutes old.", MODEL, _spend_nonce),
        text_claim("external_id", "external_id is the person's ID.", f"{MODEL}: BlankExternalId"),
        Rule("external_id-banned", f"external_id is not {' or '.join(BANNED_IDS)}.", MODEL, _banned),
        text_claim("email", "email is the person's e-mail address.", f"{SETUP}; {CONTROLLER}: no_email"),
    ),
    begin=_begin,
    landing=lambda arrival: path_here(arrival.begun.return_to, arrival.origin) if arrival.begun else "/",
    refuse=_refuse,
    open=open_payload,
    is_answer_to=_is_answer_to,
    start_path="/session/sso",
    return_parameter="return_path",
    person=("email", "username", "external_id"),
)
