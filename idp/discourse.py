"""DiscourseConnect: read Discourse's sign-in request, and make the answer that replaces a JWT.

The request and the answer have the same form. `sso` is a query string in base64, and `sig` is the HMAC-SHA256 of this
base64 text in hexadecimal digits. Both programs have the same secret. The request, which this module calls a question,
has a nonce and the URL for the answer. The answer has the same nonce and describes the person. Sources: "Setup
DiscourseConnect" (meta.discourse.org/t/13045) and lib/discourse_connect_base.rb of Discourse, read in November 2026.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from idp.services import Service
from shared.keys import KeySet, TokenKey

MAX_QUESTION = 4096  # characters
MAX_MEMBERS = 50
BASE64 = re.compile(r"[A-Za-z0-9+/=\r\n]*\Z")  # a JWT has dots, so it never matches
MAX_NONCE = 64  # characters that the audit keeps; Discourse sends 32
START = "/session/sso"  # Discourse's URL that begins a sign-in


class QuestionRefused(ValueError):
    """The parameters are not a valid question of this service. The message gives the operator the reason."""


def nonce_asked(sso: str, sig: str, service: Service, keys: KeySet) -> str:
    """Return the nonce of Discourse's question, or raise QuestionRefused.

    The answer goes only to the registered URL, so a question with another URL is rejected. Questions and answers are
    signed with the same secret, and only a question has return_sso_url. So if an answer is sent back to us as a
    question, it is rejected because return_sso_url is missing.
    """
    members = _verified(sso, sig, keys)
    if members.get("return_sso_url") != service.return_url:
        raise QuestionRefused("Discourse asks for an answer at another URL than the service's return_url.")
    nonce = members.get("nonce", "")
    if not nonce or len(nonce) > MAX_NONCE or not (nonce.isascii() and nonce.isprintable()):
        raise QuestionRefused("The nonce in Discourse's request is missing or not valid.")
    return nonce


def answer(claims: Mapping[str, Any], nonce: str, key: TokenKey) -> dict[str, str]:
    """Return the parameters that sign a person in: *claims* and the nonce. Lists become texts with commas."""
    members = {name: _text(value) for name, value in claims.items()}
    sso = b64encode(urlencode({**members, "nonce": nonce}).encode()).decode("ascii")
    return {"sso": sso, "sig": _signature(sso, key)}


def start_url(service: Service) -> str:
    """Return Discourse's URL that begins a sign-in. Discourse accepts only answers to its own questions."""
    return service.origin + START


def _verified(sso: str, sig: str, keys: KeySet) -> Mapping[str, str]:
    if len(sso) > MAX_QUESTION or not BASE64.match(sso) or not sig.isascii():
        raise QuestionRefused("Discourse's request is not valid.")
    if not any(hmac.compare_digest(_signature(sso, key), sig) for key in keys.keys):
        raise QuestionRefused(
            "The signature of Discourse's request is not valid: is the secret the same on both sides?"
        )
    try:
        pairs = parse_qsl(b64decode(sso).decode("utf-8"), max_num_fields=MAX_MEMBERS)
    except ValueError:
        raise QuestionRefused("Discourse's request is not a query string in base64.") from None
    members = dict(pairs)
    if len(members) != len(pairs):
        raise QuestionRefused("Discourse's request names a member twice.")
    return members


def _signature(sso: str, key: TokenKey) -> str:
    return hmac.new(key.secret, sso.encode("ascii"), "sha256").hexdigest()


def _text(value: Any) -> str:
    """Return *value* as text for Discourse. The items of a list are separated by commas.

    Items that contain a comma are left out, because Discourse would read each of them as two groups.
    """
    if not isinstance(value, list | tuple):
        return str(value)
    return ",".join(item for item in map(str, value) if "," not in item)
