"""Sign a person out, if a service asks for it (as in logout.php) or if the person asks on our own page.

A service sends the person to /logout with a signed token. The page says who was signed out, and has a link back to the
service. It does not redirect to the service, because a redirect could sign the person in again at once. In both cases,
the services of the session are notified over the back channel, except the service that asked.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from idp import backchannel, cookies
from idp.context import context
from idp.logout_tokens import SignOut, verify_sign_out
from idp.stores import audit, sessions, spent
from idp.stores.sessions import SignedInUser
from shared.errors import Rejection, TokenReplayed
from shared.web import page

blueprint = Blueprint("logout", __name__)


@blueprint.get("/logout", strict_slashes=False)
def process_logout() -> Response:
    """Check the token and sign out the person whom it names. If there is no token, ask the person to confirm."""
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
    """Sign out the person of this browser, and notify every service of the session."""
    signed_in = signed_in_here()
    if signed_in is None:
        return page("idp/sign_out.html", signed_in=None)
    outcomes = backchannel.tell(sessions.end_session(signed_in, reason="signed out here"))
    answer = page("idp/signed_out.html", email=signed_in.person.email, outcomes=outcomes, service=None)
    cookies.clear(answer, cookies.SESSION)
    return answer


def check_token(unverified_token: str) -> SignOut:
    """Return the person whom the token signs out, or raise a Rejection. [JWT::decode]"""
    return verify_sign_out(
        unverified_token,
        context().services.all(),
        context().now(),
        our_url=context().settings.external_url,
        we_issued=audit.we_issued,
    )


def sign_out_person(sign_out: SignOut) -> Response:
    """End this browser's session if it belongs to the person whom the token names.

    If the token was used before, it ends no session. This does not apply to a token without a jti, which cannot be
    recognised.
    """
    signed_in = signed_in_here()
    if signed_in is not None and signed_in.person.email.lower() != sign_out.email.lower():
        return page("idp/other_person.html", 409, sign_out=sign_out, signed_in=signed_in)
    if not spent.is_first_use(sign_out) and signed_in is not None:
        return refuse(TokenReplayed("this sign-out link has already been used: each link works only once"))
    outcomes = []
    if signed_in is not None:
        service = sign_out.service.name
        outcomes = backchannel.tell(sessions.end_session(signed_in, reason=f"asked by {service}", asked_by=service))
    answer = page(
        "idp/signed_out.html", email=sign_out.email, outcomes=outcomes, service=sign_out.service
    )  # the template escapes the e-mail, which comes from the token
    cookies.clear(answer, cookies.SESSION)
    return answer


def refuse(rejection: Rejection) -> Response:
    """Explain why the token was rejected. The status is 401, as in logout.php."""
    audit.note("sign_out_refused", detail=f"{rejection.code}: {rejection.detail}")
    return page("idp/sign_out_refused.html", 401, rejection=rejection, signed_in=signed_in_here())


def signed_in_here() -> SignedInUser | None:
    """Return the person who is signed in in this browser."""
    return sessions.find_session_to_end(cookies.read(cookies.SESSION))
