"""Rotate the keys of a provider without interrupting sign-in: add a second key, see it used, retire the first.

A worker accepts tokens that are signed with either key as soon as it has noticed the new key, within SP_SESSION_CACHE
seconds. So the order is: add the new key here, give it to the identity provider, check that it is used, retire the old
key.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flask import Blueprint, Response, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from shared.keys import KeyRefused, load_key
from shared.web import page
from sp.admin.guard import administrator, administrators_only
from sp.admin.key_page import key_page
from sp.admin.provider import MANAGED, find
from sp.admin.snippets import key_file_name
from sp.admin.trial_programs import program_code, trial_programs
from sp.current import components
from sp.providers.edit import ChangedMeanwhile, ManagedByFile
from sp.providers.provider import Provider
from sp.providers.rows import StoredKey, StoredProvider
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


@views.post("/settings/sso/jwt/provider/<name>/key-file")
def key_file(name: str) -> ResponseReturnValue:
    """Return a file with the key that the page for a new key sends in a form, so that the key is in no URL."""
    stored = find(name)
    file = request.form.get("file", "")
    key = request.form.get("key", "").replace("\r\n", "\n")  # browsers send line breaks of forms as two characters
    if not _is_key_of(stored, key):
        flash("This key is not a key of the provider any more. Generate a new one.", "warning")
        return _back(name)
    content = _content(file, stored.provider, key)  # raises NotFound for any other name, so the header is safe
    headers = {"Content-Disposition": f'attachment; filename="{file}"'}
    return Response(content, mimetype="application/octet-stream", headers=headers)


@views.post("/settings/sso/jwt/provider/<name>/keys/<fingerprint>/retire")
def retire(name: str, fingerprint: str) -> ResponseReturnValue:
    """Remove a key, so that tokens signed with it are rejected. Ask first, and show when each key was last used."""
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


def _content(file: str, provider: Provider, key: str) -> str:
    """Return the content of the file called *file*: the key itself, or a test program.

    Raises NotFound for other names.
    """
    if file == key_file_name(provider):
        return key
    program = next((one for one in trial_programs(provider) if one.file == file), None)
    if program is None:
        raise NotFound("This file does not exist.")
    return program_code(program, provider, key, provider.token_url(components().routes))


def _is_key_of(stored: StoredProvider, key: str) -> bool:
    """Tell whether *key* is a key of the provider: a secret, or a private or public key with a stored fingerprint."""
    provider = stored.provider
    try:
        given = load_key(key, provider.algorithm, allow_short_secret=provider.allow_short_secret)
    except KeyRefused:
        return False
    return given.fingerprint in {one.fingerprint for one in stored.keys}


def _back(name: str) -> ResponseReturnValue:
    return redirect(url_for("provider.show", name=name, _anchor="key-list"), 303)
