"""Create, change, enable, disable and remove a provider."""

from __future__ import annotations

from collections.abc import Collection
from itertools import count
from urllib.parse import urlsplit

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from shared.errors import ProviderUnknown
from shared.settings import is_loopback
from shared.web import allow_own_script, page
from sp.activity import audit
from sp.admin import warnings as provider_warnings
from sp.admin.folding import folded_groups
from sp.admin.guard import administrator, administrators_only
from sp.admin.hints import FIELDS, HINTS, PRESET_WORDS
from sp.admin.key_page import key_page
from sp.admin.margins import margins_of
from sp.admin.provider_form import ProviderForm
from sp.admin.settings import CHANGES_ON_FRONT
from sp.admin.snippets import snippets
from sp.admin.trial_programs import free_program_url
from sp.current import components
from sp.diagnosis.health import amount
from sp.providers import rows
from sp.providers.edit import ChangedMeanwhile, ManagedByFile
from sp.providers.presets import PRESETS
from sp.providers.provider import Provider
from sp.providers.rows import StoredProvider
from sp.providers.setting_reader import ProviderRefused
from sp.providers.settings_parser import parse_name, parse_provider

views = Blueprint("provider", __name__)
administrators_only(views)

NEW = ""  # the provider's name in a kept key, while the provider has none
USUAL_NAME = "company"
NAME_OF_ANY = "{name}"  # the page's script replaces it by the typed name
UNFINISHED = {"add_field", "show_url"}  # buttons that only show the form again, without saving
MANAGED = f"This provider {rows.MANAGED}."


@views.get("/settings/sso/jwt/new")
def new() -> ResponseReturnValue:
    """Show the presets, or the form filled in from the chosen one."""
    preset = request.args.get("preset", "")
    if preset not in PRESETS:
        return page("sp/settings/presets.html", presets=PRESET_WORDS)
    form = ProviderForm.of(parse_provider("new", {"preset": preset}))
    everyone = [item.provider for item in components().provider_store.load()]
    form.name.data = _free_name({provider.name for provider in everyone})
    if _is_local():
        form.login_url.data = free_program_url(provider.login_url for provider in everyone)
    return _new_page(form)


@views.post("/settings/sso/jwt/new")
def create() -> ResponseReturnValue:
    """Create a provider, or show every error beside its field."""
    form = ProviderForm.sent()
    if "add_field" in request.form:
        form.add_row()
    if UNFINISHED.intersection(request.form):
        return _new_page(form)
    try:
        provider, key = components().provider_editor.create(
            form.name.data or "",
            form.settings(),
            form.material(components().vault, administrator().account_id, NEW),
            actor=administrator().email,
        )
    except ProviderRefused as error:
        return _new_page(form, form.attach(error.mistakes), 400)
    if known := components().people.known_at(provider.name):
        accounts = "One account has an ID" if known == 1 else f"{known} accounts have IDs"
        flash(
            f"{accounts} of an earlier provider of this name. Tokens with those IDs will sign in to these accounts.",
            "warning",
        )
    if not key:
        flash(f"The provider {provider.title} was created.")
        return redirect(url_for("provider.show", name=provider.name), 303)
    return key_page(provider, key, created=True)


@views.get("/settings/sso/jwt/provider/<name>")
def show(name: str) -> ResponseReturnValue:
    """Show every setting of a provider, its keys and its latest changes."""
    stored = find(name)
    return provider_page(stored, ProviderForm.of(stored.provider, stored.version))


@views.post("/settings/sso/jwt/provider/<name>")
def save(name: str) -> ResponseReturnValue:
    """Save all the settings, or none of them."""
    stored = find(name)
    form = ProviderForm.sent()
    if "add_field" in request.form:
        form.add_row()
        return provider_page(stored, form)
    try:
        provider = components().provider_editor.save(
            stored.provider.name,
            form.settings(),
            form.material(components().vault, administrator().account_id, stored.provider.name),
            version=form.version.data or "",
            actor=administrator().email,
        )
    except ProviderRefused as error:
        return provider_page(stored, form, form.attach(error.mistakes), status=400)
    except ChangedMeanwhile as error:
        form.version.data = error.stored.version
        return provider_page(error.stored, form, status=409, conflict=_latest_change(error.stored))
    except ManagedByFile:
        return provider_page(stored, ProviderForm.of(stored.provider), status=409)
    flash(f"The settings of {provider.title} were saved.")
    return redirect(url_for("provider.show", name=provider.name), 303)


@views.post("/settings/sso/jwt/provider/<name>/enable")
def enable(name: str) -> ResponseReturnValue:
    """Enable a provider."""
    return _switch(name, True)


@views.route("/settings/sso/jwt/provider/<name>/disable", methods=["GET", "POST"])
def disable(name: str) -> ResponseReturnValue:
    """Disable a provider. Ask first if that may lock the administrators out."""
    stored = find(name)
    if request.method == "GET" or (
        not request.form.get("confirmed") and not components().people.administrator_can_enter()
    ):
        return page(
            "sp/settings/disable.html",
            stored=stored,
            no_way_in=not components().people.administrator_can_enter(),
            open_sessions=components().provider_sessions.count(stored.provider.name),
        )
    return _switch(name, False)


@views.post("/settings/sso/jwt/provider/<name>/sessions/end")
def end_sessions(name: str) -> ResponseReturnValue:
    """End every session that a provider has opened, even if the file of SP_CONFIG manages this provider."""
    ended = components().provider_sessions.end(find(name).provider.name, actor=administrator().email)
    flash(f"{ended} session{'' if ended == 1 else 's'} ended.")
    return redirect(url_for("provider.show", name=name), 303)


@views.route("/settings/sso/jwt/provider/<name>/remove", methods=["GET", "POST"])
def remove(name: str) -> ResponseReturnValue:
    """Ask for confirmation, then remove a provider with its keys."""
    stored = find(name)
    provider = stored.provider
    if request.method == "GET" or request.form.get("confirmed") != provider.name or stored.managed_by_file:
        known = components().people.known_at(provider.name)
        return page(
            "sp/settings/remove.html",
            stored=stored,
            known=known,
            mistaken=request.method == "POST",
            open_sessions=components().provider_sessions.count(provider.name),
        )
    components().provider_editor.remove(provider.name, actor=administrator().email)
    flash(f"The provider {provider.title} was removed.")
    return redirect(url_for("settings.index"), 303)


def find(name: str) -> StoredProvider:
    """Return the provider *name* with the settings that are in force, or raise NotFound."""
    try:
        return components().provider_registry.in_force(components().provider_editor.find(name.lower()))
    except ProviderUnknown as error:
        raise NotFound(f"The provider {name[:60]} does not exist.") from error


def provider_page(
    stored: StoredProvider,
    form: ProviderForm,
    mistakes: list[tuple[str, str]] | None = None,
    *,
    status: int = 200,
    conflict: audit.Change | None = None,
) -> ResponseReturnValue:
    """Return the page of a provider."""
    form.keep_key(components().vault, administrator().account_id, stored.provider.name)
    allow_own_script()
    keys = components().provider_editor.judge_keys(stored)
    return_url = stored.provider.token_url(components().routes)
    return page(
        "sp/settings/provider.html",
        status,
        stored=stored,
        provider=stored.provider,
        form=form,
        mistakes=mistakes or [],
        conflict=conflict,
        keys=keys,
        tests=components().trials.uses_of_keys(),
        open_sessions=0 if stored.provider.enabled else components().provider_sessions.count(stored.provider.name),
        warnings=provider_warnings.of_one(stored, keys),
        margins=margins_of(stored),
        amount=amount,
        return_url=return_url,
        snippets=snippets(stored.provider, return_url),
        changes=audit.recent(components().database, subject=stored.provider.name, limit=CHANGES_ON_FRONT),
        groups=folded_groups(form),
        hints=HINTS,
        fields=FIELDS,
        preset_title=_preset_title(form),
    )


def _new_page(
    form: ProviderForm, mistakes: list[tuple[str, str]] | None = None, status: int = 200
) -> ResponseReturnValue:
    form.keep_key(components().vault, administrator().account_id, NEW)
    allow_own_script()
    return page(
        "sp/settings/new.html",
        status,
        form=form,
        mistakes=mistakes or [],
        groups=folded_groups(form),
        hints=HINTS,
        fields=FIELDS,
        preset_title=_preset_title(form),
        return_url=_return_url(form),
        return_url_of_any=_return_url(form, NAME_OF_ANY),
        is_local=_is_local(),
    )


def _return_url(form: ProviderForm, name: str | None = None) -> str:
    """Return the Return URL that the provider in *form* will have, or the general URL while its name is invalid."""
    try:
        name = name or parse_name(form.name.data or "")
    except ProviderRefused:
        name = ""
    provider = Provider(name, preset=form.preset.data or "", default=form.default.data or not name)
    return provider.token_url(components().routes)


def _preset_title(form: ProviderForm) -> str:
    return PRESET_WORDS.get(form.preset.data or "", ("",))[0]


def _free_name(taken: Collection[str]) -> str:
    """Return a free name for a new provider, so that its Return URL can be shown."""
    names = (USUAL_NAME if number == 1 else f"{USUAL_NAME}-{number}" for number in count(1))
    return next(name for name in names if name not in taken)


def _is_local() -> bool:
    """Tell whether the gateway is used only on this machine.

    If it is, its browsers can reach a test program on this machine.
    """
    return is_loopback(urlsplit(components().config.external_url).hostname or "")


def _switch(name: str, enabled: bool) -> ResponseReturnValue:
    try:
        provider = components().provider_editor.switch(find(name).provider.name, enabled, actor=administrator().email)
    except ManagedByFile:
        flash(MANAGED, "warning")
    except ProviderRefused:
        flash("The stored settings of this provider are invalid. Correct and save them first.", "warning")
    else:
        flash(f"{provider.title} is {'enabled' if enabled else 'disabled'}.")
    return redirect(url_for("provider.show", name=name), 303)


def _latest_change(stored: StoredProvider) -> audit.Change | None:
    return next(iter(audit.recent(components().database, subject=stored.provider.name, limit=1)), None)
