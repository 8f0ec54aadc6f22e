"""Answer a rejection: log it, and send JSON, or redirect to the provider's error page or to our own."""

from __future__ import annotations

import re

from flask import Blueprint, Flask, jsonify, redirect, request, url_for
from flask.typing import ResponseReturnValue

from shared.current import current_request
from shared.errors import (
    REJECTIONS,
    CookiesBlocked,
    EmailConflict,
    EmailNotAllowed,
    HttpsNeeded,
    Rejection,
    SeatLimitReached,
    StoreUnavailable,
    TicketInvalid,
    TokenReplayed,
    UserDisabled,
    UserUnknown,
)
from shared.web import answers_json, new_reference, page, prefers_json
from sp.activity import search as activity_log
from sp.current import components
from sp.providers.provider import Provider
from sp.redirects import add_query
from sp.signin.attempt import Attempt, attempt_of
from sp.views import redirect_loops as loops
from sp.views.double_submit import landing_of_refusal
from sp.views.evidence import delivery_of, evidence_of
from sp.views.people import browser_session, visitor

views = Blueprint("refusals", __name__)
OF_THE_ACCOUNT = (UserUnknown, UserDisabled, EmailConflict, EmailNotAllowed, SeatLimitReached)
TOKEN_ENDPOINTS = ("sso.login_jwt", "sso.access_jwt")
REFERENCE = re.compile(r"[0-9A-Z]{1,16}\Z")


@views.get("/access/jwt/error")
def error() -> ResponseReturnValue:
    """Show what happened, what to do now, and the reference to quote."""
    rejection = REJECTIONS.get(request.args.get("code", ""), Rejection)
    reference = request.args.get("reference", "")
    if not REFERENCE.match(reference):
        reference = ""
    if rejection is TokenReplayed and (path := landing_of_refusal(reference)) is not None:
        return redirect(path, 303)
    rejection = _more_exactly(rejection, reference)
    try:
        session = browser_session()
    except StoreUnavailable:
        session = None  # do not raise: the answer to StoreUnavailable redirects to this page
    other_account = _other_account(rejection, reference)
    also = CookiesBlocked.code if rejection is TicketInvalid and loops.returns_no_cookies() else ""
    causes = loops.causes() if session is None and (also or rejection is CookiesBlocked) else []
    return page(
        "sp/refused.html",
        rejection.status,
        rejection=rejection,
        reference=reference,
        session=session,
        causes=causes,
        also=also,
        is_demo=components().config.is_demo,
        other_account=other_account,
    )


def _other_account(rejection: type[Rejection], reference: str) -> str:
    """Return the URL to sign out of the rejected account. Without it, a new sign-in would use this account again."""
    if rejection not in OF_THE_ACCOUNT or not reference:
        return ""
    line = activity_log.by_reference(components().database, reference)
    if line is None or not line.provider:
        return ""
    try:
        return components().provider_registry.get(line.provider).provider.logout_url
    except Rejection:
        return ""


def _more_exactly(rejection: type[Rejection], reference: str) -> type[Rejection]:
    """Return HttpsNeeded if the activity log has that cause, otherwise *rejection*.

    The URL of the error page has only the code.
    """
    if rejection is not CookiesBlocked or not reference:
        return rejection
    line = activity_log.by_reference(components().database, reference)
    return HttpsNeeded if line is not None and line.detail == HttpsNeeded.explanation else rejection


def install_errors(app: Flask) -> None:
    """Answer every Rejection, wherever it is raised, as docs/protocol.md defines."""
    app.register_error_handler(Rejection, refuse)


def refuse(rejection: Rejection) -> ResponseReturnValue:
    """Log a refusal, and answer it: JSON with the status of the code, or a redirect to the error page."""
    reference = write_down(rejection, sent_to=None if answers_json() else _where(rejection))
    if answers_json():
        body = {"error": rejection.code, "error_description": rejection.description, "reference": reference}
        return jsonify(body), rejection.status
    error_url = _error_url(rejection)
    if error_url is None:
        response = redirect(url_for("refusals.error", code=rejection.code, reference=reference), 303)
        if isinstance(rejection, TicketInvalid) and not request.cookies:
            components().landings.note_refusal(response, request.cookies)
        return response
    response = redirect(add_query(error_url, code=rejection.code, reference=reference), 303)
    components().landings.note_refusal(response, request.cookies)
    return response


def _where(rejection: Rejection) -> str:
    """Return the URL of the error page that the browser is sent to, without code and reference."""
    return _error_url(rejection) or url_for("refusals.error")


def _error_url(rejection: Rejection) -> str | None:
    """Return the provider's own error page if the browser should see it, otherwise None."""
    provider = attempt_of(rejection).provider
    return provider.error_url if provider is not None and _leads_on(provider, rejection) else None


def _leads_on(provider: Provider, rejection: Rejection) -> bool:
    """Tell whether to redirect the browser to the provider's own error page.

    That page may redirect back to a sign-in, and so cause a loop. So a browser that was sent to that page in the last
    seconds sees our error page instead. A browser that blocks cookies cannot be recognised, so it is never sent to an
    error page behind the gateway.
    """
    if not provider.error_url or components().landings.was_refused(request.cookies):
        return False
    path = components().routes.path_at(provider.error_url)
    return path is None or not (components().routes.is_error_page(path) or isinstance(rejection, CookiesBlocked))


def write_down(rejection: Rejection, attempt: Attempt | None = None, *, sent_to: str | None = None) -> str:
    """Log a refusal with its cause; return the reference of its line.

    *attempt* has the facts about the token, if the rejection was not raised in a `with known(...)` block. *sent_to* is
    the URL that the browser is sent to.
    """
    known = attempt or attempt_of(rejection)
    return components().logbook.note_refusal(
        rejection,
        visitor(delivery_of(known.provider)),
        reference=new_reference(),
        attempt=known,
        explain=lambda: components().explain(evidence_of(rejection, known, sent_to)),
    )


def wants_json() -> bool:
    """Tell whether the client of this request is a program. If it is, every answer is JSON, including every error."""
    request = current_request()
    sends_token = request.endpoint in TOKEN_ENDPOINTS and "Authorization" in request.headers
    return sends_token or request.blueprint == "api" or prefers_json()
