"""Sign a person in to a service, function by function as in the published PHP sample authentication.php.

If the person is already signed in, the token is issued at once. Otherwise the form is shown and processed first. Each
docstring names the corresponding PHP function in brackets. idp/README.md explains what this code does better than the
sample, and why.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from datetime import datetime

from flask import Blueprint, Response, abort, g, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import AnonymousUserMixin
from werkzeug.exceptions import BadRequest

from idp import cookies, discourse, known_browsers
from idp.context import context
from idp.forms import SignInForm
from idp.issuer import (
    SessionFacts,
    SignInRequest,
    generate_token_id,
    issue,
    mapped_claims,
    naming_claims,
    return_url,
)
from idp.models import writing
from idp.people import DirectoryUnavailable, Person, WrongCredentials
from idp.services import Service, ServiceUnknown
from idp.stores import audit, database, refusals, sessions
from idp.stores.sessions import SessionOver, SignedInUser
from shared.phrases import N_, Phrase
from shared.throttling import PasswordAttempt, TooManyAttempts
from shared.vault import VaultLocked
from shared.web import allow_form_target, allow_own_script, page

EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
MAX_NONCE = 255  # characters
MAX_ECHOED = 2048  # characters; the limit of the gateway's protocol for a return URL

log = logging.getLogger("lychgate.idp")
blueprint = Blueprint("authentication", __name__)


# CSRFProtect does not check this URL. The form checks its own CSRF token instead. If this token is wrong, the form is
# shown again with the typed values.
LOGIN = f"{__name__}.process_authorization"


@blueprint.route("/login-token/", methods=["GET", "POST"], strict_slashes=False)
def process_authorization() -> Response:
    """Sign the person in to the service that the request names. [processJWTAuthorization]"""
    service = requested_service()
    sign_in_request = read_request(service)
    if request.method == "HEAD":
        return Response()  # the client only checks that the URL exists, so no token is issued
    if request.method == "GET":
        signed_in = already_signed_in()
        if signed_in is not None:
            return send_verified_person(signed_in, service, sign_in_request)
        return show_form(SignInForm(), service)
    return process_form(service, sign_in_request)


def process_form(service: Service, sign_in_request: SignInRequest) -> Response:
    """Validate the form; sign the person in and send them to the service, or show the form again."""
    form = SignInForm()
    if not form.validate_on_submit():
        expired = "csrf_token" in form.errors
        return show_form(
            form, service, status=400, problem=Phrase("This form has expired. Send it again.") if expired else None
        )
    email = form.email.data.strip()  # [getEmailFormField]
    try:
        person = check_password(email, form.password.data)  # [getPasswordFormField]
        signed_in, cookie, max_age = open_session(person, stay=form.stay.data)
    except WrongCredentials:
        return show_form(form, service, status=401, problem=Phrase("The e-mail address or the password is wrong."))
    except TooManyAttempts as refusal:
        minutes = math.ceil(refusal.retry_after / 60)
        wait = Phrase("There were too many wrong passwords. Wait %(minutes)s minutes and try again.", minutes=minutes)
        if minutes == 1:
            wait = Phrase("There were too many wrong passwords. Wait a minute and try again.")
        answer = show_form(form, service, status=429, problem=wait)
        answer.headers["Retry-After"] = str(refusal.retry_after)
        return answer
    answer = send_verified_person(signed_in, service, sign_in_request)
    cookies.write(answer, cookies.SESSION, cookie, max_age=max_age)
    known_browsers.remember(answer, email)
    return answer


def already_signed_in() -> SignedInUser | None:
    """Return the person who is signed in in this browser. [isUserAlreadyLogged]"""
    return sessions.find_session(cookies.read(cookies.SESSION))


def check_password(email: str, password: str) -> Person:
    """Return the person, or raise WrongCredentials or TooManyAttempts. [isUserExistsAndPasswordValid]"""
    attempt = admit_attempt(email)
    try:
        person = context().people.authenticate(email, password)
    except WrongCredentials:
        audit.refused(refusals.SIGN_IN_REFUSED, email=typed_email(email))
        raise
    attempt.succeeded()
    return person


def admit_attempt(email: str) -> PasswordAttempt:
    """Count the attempt, before the password is verified. Raises TooManyAttempts and DirectoryUnavailable.

    In a browser in which the person has signed in before, only the count of this browser is used. In another browser,
    the attempt counts for the IP address, for the typed e-mail, and for the account that the directory finds. A
    directory may accept many spellings for one person. Without the count for the account, each spelling would allow
    more guesses.
    """
    throttle, device = context().throttle, known_browsers.known_device(email)
    attempt = throttle.admit(email, request.remote_addr or "", device)
    found = context().people.find(email) if device is None else None
    return throttle.admit_found(attempt, email, found.email) if found else attempt


def typed_email(typed: str) -> str:
    """Return *typed* if it is an e-mail address.

    Otherwise return an empty text, because *typed* may be a password in the wrong field.
    """
    return typed if EMAIL.fullmatch(typed) else ""


def open_session(person: Person, *, stay: bool) -> tuple[SignedInUser, str, int | None]:
    """Start a session for *person*; it replaces an earlier session of this browser."""
    before = sessions.find_session_to_end(cookies.read(cookies.SESSION))
    stay = stay and context().settings.stay_signed_in > 0
    cookie, max_age = sessions.open_session(person, stay=stay, before=before)
    signed_in = sessions.find_session(cookie)
    if signed_in is None:
        raise DirectoryUnavailable("the directory no longer finds the person who has just signed in")
    g._login_user = signed_in  # for this response: Flask-Login saw a request without the cookie
    return signed_in, cookie, max_age


def send_verified_person(signed_in: SignedInUser, service: Service, sign_in_request: SignInRequest) -> Response:
    """Issue the token and send it to the registered URL, and to no other. [sendVerifiedUserJWTData]"""
    person = signed_in.person
    if not service.admits(person):
        audit.refused(refusals.SERVICE_DENIED, email=person.email, service=service.name)
        return page("idp/denied.html", 403, service=service, person=person)
    now = context().now()
    token_id = sign_in_request.nonce if service.signed_query else generate_token_id()
    with writing() as session:
        sid = sessions.take_part(session, signed_in, service.name, naming_claims(person, service))
        audit.record(session, "token_issued", email=person.email, service=service.name, token_id=token_id)
    facts = SessionFacts(sid, int(signed_in.signed_in_at.timestamp()))
    sent = sign_answer(person, service, sign_in_request, facts, token_id, now)
    if service.delivery == "form":
        return deliver_by_form(person, service, sign_in_request, sent[service.token_parameter])
    return Response(status=303, headers={"Location": return_url(service, sign_in_request, sent)})


def sign_answer(
    person: Person, service: Service, sign_in_request: SignInRequest, facts: SessionFacts, token_id: str, now: datetime
) -> Mapping[str, str]:
    """Return the parameters to send: the token under its parameter name, or the signed query that Discourse expects."""
    key = service.signing_key(now)
    if service.signed_query:
        return discourse.answer(mapped_claims(person, service), sign_in_request.nonce, key)
    our_url = context().settings.external_url
    token = issue(
        person,
        service,
        sign_in_request,
        facts,
        key=key,
        token_id=token_id,
        now=int(now.timestamp()),
        our_url=our_url,
    )
    return {service.token_parameter: token}


def deliver_by_form(person: Person, service: Service, sign_in_request: SignInRequest, token: str) -> Response:
    """Return the page that posts the token. Its script posts it; without scripts, the person presses a button."""
    allow_form_targets(service)
    allow_own_script()
    action = return_url(service, sign_in_request)
    return page("idp/deliver.html", person=person, service=service, action=action, token=token)


def show_form(form: SignInForm, service: Service, *, status: int = 200, problem: Phrase | None = None) -> Response:
    """Return the sign-in page."""
    allow_form_targets(service)
    may_stay = context().settings.stay_signed_in > 0
    first = form.password if problem else form.email
    first.render_kw = {**first.render_kw, "autofocus": True}
    return page("idp/sign_in.html", status, form=form, service=service, problem=problem, may_stay=may_stay)


def allow_form_targets(service: Service) -> None:
    """Allow the forms of this page to lead to the service, and nowhere else."""
    for origin in service.allowed_targets:
        allow_form_target(origin)


def requested_service() -> Service:
    """Return the service that the request names. The name is optional if only one service is registered."""
    name = request.args.get("service", "")
    if name:
        try:
            return context().services.find(name)
        except ServiceUnknown:
            abort(which_service(404))
    registered = context().services.all()
    if len(registered) != 1:
        abort(which_service(400))
    return registered[0]


def which_service(status: int) -> Response:
    """Let the person choose a service. The URL names no service (400), or one that is not registered (404)."""
    signed_in = already_signed_in()
    offered = context().offered(signed_in.person if signed_in else None)
    return page("idp/which_service.html", status, services=offered, unknown=status == 404)


def read_request(service: Service) -> SignInRequest:
    """Return the values to send back to the service with the token. No value is ever the target of a redirect."""
    if service.signed_query:
        return SignInRequest(read_question(service))
    nonce = request.args.get("nonce", "") if service.nonce else ""
    if len(nonce) > MAX_NONCE or not _plain(nonce):
        raise BadRequest(f"The nonce must be at most {MAX_NONCE} printable characters.")
    echoed = {
        theirs: value
        for ours, theirs in service.echo.items()
        if (value := request.args.get(ours, "")) and len(value) <= MAX_ECHOED and _plain(value)
    }
    return SignInRequest(nonce, echoed)


def read_question(service: Service) -> str:
    """Return the nonce of Discourse's request. If there is no request, send the browser to Discourse to get one."""
    sso, sig = request.args.get("sso", ""), request.args.get("sig", "")
    if not sso and not sig:
        abort(redirect(discourse.start_url(service), 303))
    try:
        return discourse.nonce_asked(sso, sig, service, service.live_keys(context().now()))
    except discourse.QuestionRefused as refusal:
        raise BadRequest(str(refusal)) from None


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


@blueprint.app_errorhandler(SessionOver)
def session_over(_error: SessionOver) -> ResponseReturnValue:
    """Show the sign-in form again.

    The session ended during this request, for example in another tab or by an administrator.
    """
    query = request.query_string.decode("latin-1")
    return redirect(f"{url_for('authentication.process_authorization')}?{query}", 303)


@blueprint.app_errorhandler(DirectoryUnavailable)
@blueprint.app_errorhandler(database.DatabaseDown)
@blueprint.app_errorhandler(database.TransactionEnded)
@blueprint.app_errorhandler(VaultLocked)
def unavailable(error: Exception) -> Response:
    """Answer 503: sign-in is unavailable right now. The log says why."""
    reasons = [text for text in (str(error), str(error.__cause__ or "")) if text]
    log.warning("sign-in is unavailable: %s: %s", type(error).__name__, "; ".join(reasons))
    g._login_user = AnonymousUserMixin()  # show no person: the lookup needs the unavailable store
    text = N_("We cannot reach our user data. Wait a minute and try again. If it lasts, tell your administrator.")
    title = N_("Sign-in is unavailable right now")
    return page("ui/problem.html", 503, title=title, text=text, again=N_("Try again"))
