"""Sign a person out: the Python of logout.php, and the sign-out that begins here.

A service sends its person here with a signed token; the page says who was signed out and offers the way back, which
is a link and not a redirect, so that nobody is signed in again by itself. Whoever signs out here has every service
that took part told over the back channel.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from idp import backchannel, cookies
from idp.logout_tokens import SignOut, verify_sign_out
from idp.parts import parts
from idp.stores import audit, sessions, spent
from idp.stores.sessions import SignedIn
from shared.errors import Rejection, TokenReplayed
from shared.web import page

blueprint = Blueprint("logout", __name__)


@blueprint.get("/logout", strict_slashes=False)
def process_logout() -> Response:
    """Check the token and sign out the person whom it names; without a token, ask."""
    if request.method == "HEAD":
        return Response()
    unverified_token = request.args.get("jwt")
    if unverified_token is None:
        return page("idp/sign_out.html", signed_in=signed_in_here())
    try:
        sign_out = check_token(unverified_token)
    except Rejection as rejection:
        return refuse(rejection)
    return sign_out_person(sign_out)


@blueprint.post("/logout", strict_slashes=False)
def sign_out_here() -> Response:
    """Sign out whoever is signed in in this browser, and tell every service that took part."""
    signed_in = signed_in_here()
    if signed_in is None:
        return page("idp/sign_out.html", signed_in=None)
    outcomes = backchannel.tell(sessions.end_session(signed_in, reason="signed out here"))
    answer = page("idp/signed_out.html", email=signed_in.person.email, outcomes=outcomes, service=None)
    cookies.clear(answer, cookies.SESSION)
    return answer


def check_token(unverified_token: str) -> SignOut:
    """Return whom the token signs out, or raise the Rejection that says why not. [JWT::decode]"""
    return verify_sign_out(
        unverified_token,
        parts().services.all(),
        parts().now(),
        our_address=parts().settings.external_url,
        we_issued=audit.we_issued,
    )


def sign_out_person(sign_out: SignOut) -> Response:
    """End the session if it is that person's, and say so. A token that was used before ends no further session."""
    signed_in = signed_in_here()
    if signed_in is not None and signed_in.person.email.lower() != sign_out.email.lower():
        return page("idp/other_person.html", 409, sign_out=sign_out, signed_in=signed_in)
    if not spent.is_first_use(sign_out) and signed_in is not None:
        return refuse(TokenReplayed("this address has signed someone out before, and does so once"))
    outcomes = []
    if signed_in is not None:
        service = sign_out.service.name
        outcomes = backchannel.tell(sessions.end_session(signed_in, reason=f"asked by {service}", asked_by=service))
    answer = page(
        "idp/signed_out.html", email=sign_out.email, outcomes=outcomes, service=sign_out.service
    )  # the template escapes the address: the token's word is not ours
    cookies.clear(answer, cookies.SESSION)
    return answer


def refuse(rejection: Rejection) -> Response:
    """Explain why the token signs nobody out; 401, as logout.php answers."""
    audit.note("sign_out_refused", detail=f"{rejection.code}: {rejection.detail}")
    return page("idp/sign_out_refused.html", 401, rejection=rejection, signed_in=signed_in_here())


def signed_in_here() -> SignedIn | None:
    """Return who is signed in in this browser."""
    return sessions.find_session_to_end(cookies.read(cookies.SESSION))
