"""Ask "Continue as X?" before a token opens a session that the person may not want, and handle the answer."""

from __future__ import annotations

from contextlib import suppress

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm

from shared.claims import Claims
from shared.errors import TokenReplayed, Unsolicited
from shared.web import new_reference, page
from sp.accounts.provisioning import read_profile
from sp.activity.record import Visitor
from sp.current import components
from sp.providers.registry import Trusted
from sp.sessions.held import NotHeld
from sp.signin.attempt import Attempt, known
from sp.signin.pending import Pending
from sp.signin.questions import Question
from sp.signin.verification import Verified
from sp.views.double_submit import landing_of_token
from sp.views.opening import allow_landing, enter, still_ours
from sp.views.people import browser_session, visitor
from sp.views.refusals import write_down

views = Blueprint("questions", __name__)
NOT_ME = "not-me"


class AnswerForm(FlaskForm):  # type: ignore[misc]
    """A form with only a CSRF token, so that another site cannot answer for the person."""


def ask(
    verified: Verified, trusted: Trusted, here: Visitor, started: list[Pending], pending: Pending, landing: str
) -> ResponseReturnValue:
    """Spend the token and show the question, but open no session.

    If the same browser sends the token again while the question is still open, it gets the question again. If the
    question is closed, raises TokenReplayed.

    If the person is already signed in with the account of the token, the session is opened without a question.
    """
    session = browser_session()
    if session and components().sign_in.leads_to(session.account_id, verified, trusted):
        with suppress(TokenReplayed):  # already spent, perhaps by its own question, which may still be open
            return enter(verified, trusted, here, pending, landing)
    try:
        components().sign_in.hold(
            verified,
            trusted,
            here,
            reference=new_reference(),
            pending_hash=pending.nonce_hash,
        )
    except TokenReplayed:
        held_for = _held_for(verified, started)
        if held_for is None:
            raise
        pending = held_for
    provider = trusted.provider
    question = Question(provider.name, verified.claims.raw, verified.key.fingerprint, pending.nonce_hash.hex(), landing)
    allow_landing(landing)  # browsers also apply form-action to the redirect after the form
    return page(
        "sp/question.html",
        form=AnswerForm(),
        sign_in=components().questions.write(question),
        email=read_profile(verified.claims, provider).email,
        provider=provider,
        session=session,
    )


@views.post("/sso/continue")
def take_answer() -> ResponseReturnValue:
    """Open the session if the person confirmed it."""
    signed = components().questions.read(request.form.get("sign_in", ""))
    if signed is None or not AnswerForm().validate_on_submit():
        return page("sp/question_closed.html", 400)
    question, asked_at = signed
    trusted = components().provider_registry.get(question.provider)
    verified = _verified(question, asked_at, trusted)
    if verified is None:
        return page("sp/question_closed.html", 400)
    with known(trusted.provider, verified):
        return _take_answer(question, verified, trusted)


def _take_answer(question: Question, verified: Verified, trusted: Trusted) -> ResponseReturnValue:
    key = verified.token_key
    pending = _answered(question)
    if request.form.get("answer") == NOT_ME:
        return _decline(Attempt(trusted.provider, verified), key, pending)
    if pending is None:
        return _landed_before(key, []) or page("sp/question_closed.html", 400)
    try:
        landing = still_ours(question.landing, trusted.provider)
        return enter(verified, trusted, visitor(), pending, landing, answered=True)
    except TokenReplayed:
        if (landed := _landed_before(key, [pending])) is not None:
            return landed
        raise
    except NotHeld:
        return page("sp/question_closed.html", 400)


def _held_for(verified: Verified, started: list[Pending]) -> Pending | None:
    """Return the pending sign-in of this browser for which the question is still open, or None if there is none."""
    held_for = components().held.pending_hash(verified.token_key)
    return next((pending for pending in started if pending.nonce_hash == held_for), None)


def _verified(question: Question, asked_at: float, trusted: Trusted) -> Verified | None:
    """Return the claims of *question* as verified, or None if the key that signed them is no longer trusted."""
    key = next((key for key in trusted.keys().keys if key.fingerprint == question.key), None)
    if key is None:
        return None
    claims = Claims.parse(question.claims, numeric_token_id=trusted.provider.numeric_token_id)
    return Verified.of(claims, key, trusted.provider, asked_at)


def _answered(question: Question) -> Pending | None:
    """Return the pending sign-in that the question is about, or None if another browser started it."""
    for pending in components().pending.read(request.cookies, question.provider):
        if pending.nonce_hash.hex() == question.pending:
            return pending
    return None


def _decline(attempt: Attempt, key: bytes, pending: Pending | None) -> ResponseReturnValue:
    reference = write_down(Unsolicited("the person answered that the sign-in is not theirs"), attempt)
    response = page("sp/question_declined.html", reference=reference, provider=attempt.provider)
    if pending is not None:
        components().held.close(key)
        components().pending.finish(response, pending)
    return response


def _landed_before(key: bytes, started: list[Pending]) -> ResponseReturnValue | None:
    """Return a redirect to the page if this browser has already answered the question (double click, back button)."""
    path = landing_of_token(key, started)
    return redirect(path, 303) if path is not None else None
