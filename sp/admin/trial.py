"""Test a sign-in through the identity provider in a second window; show a report instead of opening a session."""

from __future__ import annotations

import secrets
from typing import Any

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from shared.errors import Rejection
from shared.web import allow_own_script, page
from sp.admin.guard import administrator, administrators_only
from sp.admin.provider import MANAGED, find
from sp.admin.snippets import EXAMPLE_ISSUER
from sp.admin.trial_programs import program_url
from sp.current import components
from sp.diagnosis.expectations import expecting, reviewed
from sp.diagnosis.inspector import Finding
from sp.diagnosis.trials import Tried
from sp.providers.edit import ChangedMeanwhile, ManagedByFile
from sp.providers.registry import Trusted
from sp.providers.rows import StoredProvider
from sp.providers.setting_reader import ProviderRefused
from sp.redirects import add_query

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
    """Redirect to the identity provider, as at a sign-in, or to the test program on the browser's machine."""
    provider = _present(name).provider
    login_url = program_url(provider) if request.args.get("with") == "program" else provider.login_url
    if not login_url:
        return page("sp/settings/trial_impossible.html", 409, provider=provider)
    trial = secrets.token_urlsafe(24)
    path = url_for("trial.show", trial=trial)
    response = redirect("/", 303)
    pending = components().pending.begin(
        response, request.cookies, provider.name, path, trial=trial, trial_by=administrator().account_id
    )
    response.location = add_query(login_url, return_to=components().config.external_url + path, nonce=pending.nonce)
    return response


@views.get("/settings/sso/jwt/trial/<trial>")
def show(trial: str) -> ResponseReturnValue:
    """Show the report to the administrator who started the trial."""
    tried = components().trials.find(trial, administrator().account_id)
    if tried is None:
        raise NotFound(
            "There is no report of this trial. It is older than a day, or no token has arrived yet. Start a new trial."
        )
    stored: StoredProvider | None
    try:
        stored = components().provider_registry.in_force(components().provider_editor.find(tried.provider))
    except Rejection:
        stored = None
    values = _worth_expecting(tried)
    allow_own_script()
    return page(
        "sp/settings/trial.html",
        tried=tried,
        report=_report_now(tried, stored),
        stored=stored,
        names=CHECK_NAMES,
        sign_in_url=components().config.external_url + url_for("sso.start", provider_name=tried.provider),
        uses_program=stored is not None and program_url(stored.provider) == stored.provider.login_url,
        expect=values if stored and expecting(stored.provider, values) != stored.provider.as_settings() else {},
    )


@views.post("/settings/sso/jwt/trial/<trial>/expect")
def expect(trial: str) -> ResponseReturnValue:
    """Save the issuer and the audience of the tested token as the expected values.

    Both values come from the report, not from the form.
    """
    tried = components().trials.find(trial, administrator().account_id)
    if tried is None:
        raise NotFound("There is no report of this trial. It is older than a day. Start a new trial.")
    stored = find(tried.provider)
    try:
        components().provider_editor.save(
            stored.provider.name,
            expecting(stored.provider, _worth_expecting(tried)),
            "",
            version=stored.version,
            actor=administrator().email,
        )
    except ProviderRefused as error:
        flash(f"Nothing was saved: {error}.", "danger")
    except ChangedMeanwhile:
        flash("This provider was changed at the same moment. Try again.", "warning")
    except ManagedByFile:
        flash(MANAGED, "warning")
    else:
        flash("Saved. From now on, tokens with another issuer or audience are rejected.")
    return redirect(url_for("trial.show", trial=trial), 303)


@views.post("/settings/sso/jwt/provider/<name>/inspect")
def inspect(name: str) -> ResponseReturnValue:
    """Run every check on a pasted token. It is not spent, stored or shown again."""
    trusted = _present(name)
    token = request.form.get("token", "").strip()
    report = components().trials.inspect(token, trusted)
    return page("sp/settings/inspected.html", provider=trusted.provider, report=report, names=CHECK_NAMES)


def _report_now(tried: Tried, stored: StoredProvider | None) -> dict[str, Any]:
    """Return the report. If advice was followed since the trial, the report shows this."""
    report, values = dict(tried.report), tried.report.get("expect", {})
    if stored and values:
        report["findings"] = [reviewed(Finding(**f), values, stored.provider) for f in report["findings"]]
    return report


def _worth_expecting(tried: Tried) -> dict[str, str]:
    """Return the issuer and the audience to expect. Leave out the example values of this gateway's own programs."""
    values = tried.report.get("expect", {})
    return {name: value for name, value in values.items() if value != EXAMPLE_ISSUER}


def _present(name: str) -> Trusted:
    """Return the current provider from the database, because a trial tests the settings that were just saved."""
    return components().provider_registry.find_now(find(name).provider.name)
