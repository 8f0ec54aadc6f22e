"""Rotate the keys of a provider without interrupting sign-in: add a second key, see it used, retire the first.

Both keys verify as soon as a worker has noticed the change, within SP_SESSION_CACHE seconds. So the order
is: add the new key here, give it to the identity provider, check that it is used, retire the old one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue

from shared.web import page
from sp.admin.guard import administrator, administrators_only
from sp.admin.key_page import key_page
from sp.admin.provider import MANAGED, find
from sp.current import components
from sp.providers.edit import ChangedMeanwhile, ManagedByFile
from sp.providers.rows import StoredKey
from sp.providers.setting_reader import ProviderRefused

views = Blueprint("keys", __name__)
administrators_only(views)


@views.post("/settings/sso/jwt/provider/<name>/keys")
def add(name: str) -> ResponseReturnValue:
    """Add the pasted key, or generate one and show it once."""
    stored = find(name)
    material = "" if "generate" in request.form else request.form.get("material", "").strip()
    if not material and "generate" not in request.form:
        flash("Paste a key first, or generate one.", "warning")
        return _back(name)
    try:
        new = components().provider_editor.add_key(
            stored.provider.name, material, version=request.form.get("version", ""), actor=administrator().email
        )
    except ProviderRefused as error:
        flash(f"The key was not added: {error.mistakes.get('keys', error)}.", "danger")
    except ChangedMeanwhile:
        flash("This provider was changed after you opened the page. Check its keys and try again.", "warning")
    except ManagedByFile:
        flash(MANAGED, "warning")
    else:
        if new.shown_once:
            return key_page(stored.provider, new.shown_once, created=False)
        flash("The key was added. Tokens signed with it are now accepted.")
    return _back(name)


@views.post("/settings/sso/jwt/provider/<name>/keys/<fingerprint>/retire")
def retire(name: str, fingerprint: str) -> ResponseReturnValue:
    """Remove a key, so that tokens signed with it are rejected. Ask first, and show which keys were used when."""
    stored = find(name)
    key = next((key for key in stored.keys if key.fingerprint == fingerprint), None)
    if key is not None and not stored.managed_by_file and not request.form.get("confirmed"):
        return page(
            "sp/settings/retire.html",
            provider=stored.provider,
            keys=stored.keys,
            key=key,
            in_use=key.last_used_at is not None and key.last_used_at == latest_use(stored.keys),
            is_first=key is stored.keys[0],
            is_last=len(stored.keys) == 1,
        )
    try:
        components().provider_editor.retire_key(stored.provider.name, fingerprint, actor=administrator().email)
    except ProviderRefused as error:
        flash(f"The key was not retired: {error.mistakes['keys']}.", "danger")
    except ManagedByFile:
        flash(MANAGED, "warning")
    else:
        flash("The key was retired. Tokens signed with it are now rejected.")
    return _back(name)


@views.post("/settings/sso/jwt/provider/<name>/keys/<fingerprint>/sign")
def sign(name: str, fingerprint: str) -> ResponseReturnValue:
    """Sign sign-out tokens with this key."""
    try:
        components().provider_editor.sign_with(find(name).provider.name, fingerprint, actor=administrator().email)
    except ManagedByFile:
        flash(MANAGED, "warning")
    else:
        flash("Sign-out tokens are now signed with this key.")
    return _back(name)


def latest_use(keys: Sequence[StoredKey]) -> datetime | None:
    """Return when any of *keys* last verified a token."""
    return max((key.last_used_at for key in keys if key.last_used_at is not None), default=None)


def _back(name: str) -> ResponseReturnValue:
    return redirect(url_for("provider.show", name=name, _anchor="key-list"), 303)
