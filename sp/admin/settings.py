"""Show the overview of the settings: the providers, their warnings, and the latest changes."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from shared.request_limits import row_id_argument
from shared.web import page
from sp.activity import audit
from sp.admin import warnings as provider_warnings
from sp.admin.guard import administrators_only
from sp.current import components

views = Blueprint("settings", __name__)
administrators_only(views)

CHANGES_ON_FRONT = 5
CHANGES_ON_PAGE = 50


@views.get("/settings/sso/jwt", strict_slashes=False)
def index() -> ResponseReturnValue:
    """Show every provider with its main settings and its warnings."""
    editor = components().provider_editor
    everyone = [components().provider_registry.in_force(stored) for stored in components().provider_store.load()]
    tests = components().trials.uses_of_keys()
    providers = [
        (
            stored,
            stored.provider.token_url(components().routes),
            keys,
            provider_warnings.of_one(stored, keys),
            [tests.get((stored.provider.name, key.stored.fingerprint)) for key in keys],
        )
        for stored in everyone
        for keys in [editor.judge_keys(stored)]
    ]
    return page(
        "sp/settings/index.html",
        providers=providers,
        warnings=provider_warnings.of_all(
            everyone, administrator_can_enter=components().people.administrator_can_enter()
        ),
        changes=audit.recent(components().database, limit=CHANGES_ON_FRONT),
    )


@views.get("/settings/sso/jwt/changes")
def changes() -> ResponseReturnValue:
    """Show the audit trail, newest first, or only the lines about one provider or account."""
    subject = request.args.get("subject", "").strip() or None
    before = row_id_argument("before")
    found = audit.recent(components().database, subject=subject, before=before, limit=CHANGES_ON_PAGE + 1)
    older = found[CHANGES_ON_PAGE - 1].id if len(found) > CHANGES_ON_PAGE else None
    return page("sp/settings/changes.html", changes=found[:CHANGES_ON_PAGE], subject=subject, older=older)
