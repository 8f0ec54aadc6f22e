"""Test a sign-in through the identity provider in a second window; show a report instead of opening a session."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from shared.errors import Rejection, TokenMalformed
from shared.tokens import read_object, take_apart
from shared.web import new_reference, page
from sp.core import core
from sp.pending import Pending
from sp.redirects import add_query
from sp.registry import Trusted
from sp.stores.provider_rows import StoredProvider
from sp.stores.trials import Ticket
from sp.views.administration import administrator, administrators_only
from sp.views.people import visitor
from sp.views.settings_provider import find

views = Blueprint("trial", __name__)
administrators_only(views)

CHECK_NAMES = {
    "signature": "Signature",
    "form": "Form",
    "claim_types": "Claim types",
    "profile": "Field matching",
}


@views.get("/settings/sso/jwt/provider/<name>/try")
def start(name: str) -> ResponseReturnValue:
    """Redirect to the identity provider, as at a sign-in."""
    provider = _present(name).provider
    if not provider.login_url:
        return page("sp/settings/trial_impossible.html", 409, provider=provider)
    trial = secrets.token_urlsafe(24)
    path = url_for("trial.show", trial=trial)
    response = redirect("/", 303)
    pending = core().pending.begin(
        response, request.cookies, provider.name, path, trial=trial, trial_by=administrator().account_id
    )
    response.location = add_query(provider.login_url, return_to=core().config.external_url + path, nonce=pending.nonce)
    return response


@views.get("/settings/sso/jwt/trial/<trial>")
def show(trial: str) -> ResponseReturnValue:
    """Show the report to the administrator who started the trial."""
    tried = core().trials.find(trial, administrator().account_id)
    if tried is None:
        raise NotFound(
            "There is no report of this trial. It is older than a day, or no token has arrived yet. Start a new trial."
        )
    stored: StoredProvider | None
    try:
        stored = core().editor.find(tried.provider)
    except Rejection:
        stored = None
    return page("sp/settings/trial.html", tried=tried, report=tried.report, stored=stored, names=CHECK_NAMES)


@views.post("/settings/sso/jwt/provider/<name>/inspect")
def inspect(name: str) -> ResponseReturnValue:
    """Run every check on a pasted token. It is not spent, stored or shown again."""
    trusted = _present(name)
    token = request.form.get("token", "").strip()
    report = core().trials.inspect(token, trusted)
    return page("sp/settings/inspected.html", provider=trusted.provider, report=report, names=CHECK_NAMES)


def answer(provider_name: str | None, read_token: Callable[..., str]) -> ResponseReturnValue | None:
    """Take the token that a trial has asked for; None if this browser tries nothing out with the provider.

    The caller then goes on as with any token. *read_token* gets the token out of the request for a provider, or
    raises the Rejection that says why there is none.
    """
    if request.method == "HEAD":
        return None
    name = _name_of(provider_name)
    if name is None or not core().pending.trials(request.cookies, name):
        return None
    trusted = _present(name)
    provider = trusted.provider
    token, refusal = "", None
    try:
        token = read_token(provider)
    except Rejection as rejection:
        refusal = rejection
    pending = _answered_trial(provider.name, token)
    if pending is None:
        return None
    ticket = Ticket(pending.trial, pending.trial_by, pending.started_at, pending.nonce)
    if refusal is not None:
        core().trials.fail(ticket, refusal, provider.name, visitor(), reference=new_reference())
    else:
        core().trials.conclude(ticket, token, trusted, visitor(), reference=new_reference())
    response = redirect(pending.return_path, 303)
    core().pending.finish(response, pending)
    return response


def _present(name: str) -> Trusted:
    """Return the provider as it is at this moment: a trial is about the settings that were saved just now."""
    core().registry.forget()
    return core().registry.find(find(name).provider.name)


def _name_of(provider_name: str | None) -> str | None:
    """Return the name of the provider that a token came for, or None if there is no default one."""
    if provider_name is not None:
        return provider_name.lower()
    try:
        return core().registry.find(None).provider.name
    except Rejection:
        return None


def _answered_trial(provider: str, unverified_token: str) -> Pending | None:
    """Return the trial that the token answers: by its nonce, else the newest if nothing was begun after it.

    The nonce is not verified yet, and need not be: a trial opens nothing, and an ordinary sign-in verifies it again.
    """
    trials = core().pending.trials(request.cookies, provider)
    ordinary = core().pending.read(request.cookies, provider)
    nonce = _unverified_nonce(unverified_token)
    for pending in (*trials, *ordinary):
        if nonce is not None and pending.nonce == nonce:
            return pending if pending.trial else None
    begun_later = bool(ordinary) and ordinary[0].started_at > trials[0].started_at
    return None if begun_later else trials[0]


def _unverified_nonce(unverified_token: str) -> str | None:
    try:
        nonce = read_object(take_apart(unverified_token).payload, "payload").get("nonce")
    except TokenMalformed:
        return None
    return nonce if isinstance(nonce, str) else None
