"""Define the form of a provider: every setting of docs/protocol.md, under the same name.

The form only translates between a browser's texts and settings. Only `sp.providers.settings_parser` validates settings,
for files, command line and pages. The form shows its errors beside the fields.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from flask import request
from wtforms import (
    BooleanField,
    FieldList,
    FileField,
    Form,
    FormField,
    HiddenField,
    SelectField,
    SelectMultipleField,
    StringField,
    TextAreaField,
)
from wtforms.widgets import CheckboxInput, ListWidget

from shared.clock import time_now
from shared.keys import ALGORITHMS
from shared.vault import Vault, VaultLocked
from sp.providers.icon_images import KINDS, MAX_IMAGE, icon_from
from sp.providers.presets import PRESETS
from sp.providers.provider import Provider
from sp.providers.setting_reader import MARKS_AND_INITIALS, ProviderRefused

WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,12}\Z", re.ASCII)
MANDATORY = {  # seed: LoginRadius, "Enable Required Parameters"
    "iat": "Issued at (iat) is mandatory",
    "exp": "Expiration time field (exp) is mandatory",
    "sub": "Subject (sub) is mandatory",
    "nbf": "Not before field (nbf) is mandatory",
}
DELIVERY_WORDS = {
    "query": "In the URL (GET)",
    "form": "In a posted form (POST)",
    "header": "Use Authorization header",
}
UNSOLICITED_WORDS = {
    "restart": "restart: send the browser to the identity provider for a new token",
    "accept": "accept: sign the person in, even if another site started it",
    "refuse": "refuse: show an error",
}
ACCESS_TOKEN_WORDS = {
    "none": "none: sign-in is by cookie only",
    "fragment": "fragment: after the # in the URL of the page after sign-in",
    "query": "query: in the query of the URL of the page after sign-in",
}
IMAGE = "image"  # choice of the icon: the image in `icon_image`
ICON_WORDS = {
    **{name: name or "initials of the name" for name in MARKS_AND_INITIALS},
    IMAGE: "the image that was chosen",
}
MAX_ROWS = 100  # of field matching
KEPT = "typed key"  # begins the plain text of `kept_key`, so that no other encrypted text passes for it
KEPT_FOR = 3600  # seconds


class ExpectationForm(Form):  # type: ignore[misc]
    """The expected value of iss or aud."""

    expected = StringField("Expected value")
    match = BooleanField("Match value")
    required = BooleanField("Is mandatory")


class MatchForm(Form):  # type: ignore[misc]
    """One row of the field matching: a field, and its claims in order of preference, separated by spaces."""

    field = StringField("Field here")
    claim = StringField("Claims of the token")


class ProviderForm(Form):  # type: ignore[misc]
    """The form with every setting. `version` is the version that the page shows. Only a new provider uses `name`.

    `kept_key` holds a typed key, encrypted, while the form is shown again (after "+ Add a field", or after an error in
    another field), so that the key need not be typed twice. `sp.admin.guard` protects the settings pages against forms
    from foreign sites.
    """

    version = HiddenField()
    kept_key = HiddenField()
    name = StringField("Provider name")
    preset = SelectField("Preset", choices=PRESETS)
    display_name = StringField("Display name")
    enabled = BooleanField("Enable JWT login for this account")
    default = BooleanField("Default provider")
    show_on_login = BooleanField("Show on the sign-in page (Include in Social Schema)")
    icon = SelectField("Icon", choices=ICON_WORDS)
    icon_image = HiddenField()
    icon_file = FileField("Or an image of your own", render_kw={"accept": ",".join(KINDS)})
    algorithm = SelectField("Encryption algorithm", choices=ALGORITHMS)
    keys = TextAreaField("Security key")
    jwks_url = StringField("JWKS endpoint")
    login_url = StringField("Identity provider URL")
    logout_url = StringField("Logout URL")
    return_url = StringField("Page after sign-in")
    error_url = StringField("Error page")
    token_parameter = StringField("Token query parameter name")
    deliveries = SelectMultipleField(
        "Allowed token delivery",
        choices=DELIVERY_WORDS,
        widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(),
    )
    clock_skew = StringField("Clock skew")
    expiry_adjustment = StringField("Expiration time difference")
    max_age = StringField("Maximum token age")
    required_claims = SelectMultipleField(
        "Mandatory claims",
        choices=MANDATORY,
        widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(),
        validate_choice=False,
    )
    further_claims = StringField("Further mandatory claims")
    issuer = FormField(ExpectationForm, "Issuer (iss)")
    audience = FormField(ExpectationForm, "Audience (aud)")
    auto_create = BooleanField("Create accounts automatically")
    auto_lookup = BooleanField("Enable AutoLookup")
    update_profile = BooleanField("Update the profile at each sign-in")
    update_email = BooleanField("Update the e-mail address (Update Email Profile)")
    email_domains = StringField("Allowed e-mail domains")
    unsolicited = SelectField("Unsolicited sign-in", choices=UNSOLICITED_WORDS)
    require_nonce = BooleanField("Require a nonce")
    access_token_delivery = SelectField("Access token for the page after sign-in", choices=ACCESS_TOKEN_WORDS)
    allow_short_secret = BooleanField("Allow a short security key")
    admin_group = StringField("Administrators' group")
    mapping = FieldList(FormField(MatchForm), "Field matching", max_entries=MAX_ROWS)

    @classmethod
    def of(cls, provider: Provider, version: str = "") -> ProviderForm:
        """Return the form filled with the settings of *provider*."""
        settings = provider.as_settings()
        required = [name for name in settings["required_claims"] if name in MANDATORY]
        further = [name for name in settings["required_claims"] if name not in MANDATORY]
        matches = [{"field": field, "claim": " ".join(claims)} for field, claims in provider.mapping]
        texts = {name: str(settings[name]) for name in ("clock_skew", "expiry_adjustment", "max_age")}
        data = {
            **settings,
            **texts,
            "name": provider.name,
            "version": version,
            "icon": IMAGE if settings["icon"] not in MARKS_AND_INITIALS else settings["icon"],
            "icon_image": "" if settings["icon"] in MARKS_AND_INITIALS else settings["icon"],
            "required_claims": required,
            "further_claims": " ".join(further),
            "email_domains": " ".join(settings["email_domains"]),
            "mapping": matches,
        }
        return cls(formdata=None, data=data)._with_choices()

    @classmethod
    def sent(cls) -> ProviderForm:
        """Return the form that the browser sent. An image becomes a hidden field, so it need not be uploaded twice."""
        form = cls(formdata=request.form)
        file = request.files.get("icon_file")
        if file is not None and (content := file.read(MAX_IMAGE + 1)):
            form.icon.data, form.icon_image.data = IMAGE, icon_from(content)
        return form._with_choices()

    def _with_choices(self) -> ProviderForm:
        """Offer the image as an icon only if there is one."""
        self.icon.choices = [choice for choice in ICON_WORDS.items() if choice[0] != IMAGE or self.icon_image.data]
        return self

    def settings(self) -> dict[str, Any]:
        """Return the input as settings. Invalid values are left unchanged, so that `parse_provider` rejects them."""
        settings: dict[str, Any] = {
            name: (self[name].data or "").strip()
            for name in (
                *("preset", "display_name", "algorithm", "jwks_url", "login_url", "logout_url", "return_url"),
                *("error_url", "token_parameter", "unsolicited", "access_token_delivery", "admin_group", "icon"),
            )
        }
        for field in self:
            if isinstance(field, BooleanField):
                settings[field.name] = field.data
        for name in ("clock_skew", "expiry_adjustment", "max_age"):
            settings[name] = _whole(self[name].data or "")
        if settings["icon"] == IMAGE:
            settings["icon"] = self.icon_image.data or ""
        settings["deliveries"] = list(self.deliveries.data or [])
        settings["required_claims"] = [*(self.required_claims.data or []), *_words(self.further_claims.data)]
        settings["email_domains"] = _words(self.email_domains.data)
        for name in ("issuer", "audience"):
            expectation = self[name].data
            settings[name] = {**expectation, "expected": (expectation["expected"] or "").strip()}
        settings["mapping"] = self._mapping()
        return settings

    def material(self, vault: Vault, typed_by: int, provider: str) -> str:
        """Return the security key that was typed now, or before the form was shown again; "" if there is none.

        Raises ProviderRefused unless `keep_key` wrote the kept key for this account and provider in the last hour.
        """
        if typed := (self.keys.data or "").strip():
            return typed
        if not self.kept_key.data:
            return ""
        try:
            kept = json.loads(vault.decrypt(self.kept_key.data))
        except (VaultLocked, ValueError):
            kept = None
        match kept:
            case [str(what), int(by), str(name), int(at), str(key)] if [what, by, name] == [KEPT, typed_by, provider]:
                if 0 <= time_now() - at < KEPT_FOR:
                    return key
        self.kept_key.data = ""
        raise ProviderRefused({"keys": "enter the key again"})

    def keep_key(self, vault: Vault, typed_by: int, provider: str) -> None:
        """Keep the typed key for the next time that this form is sent, unless the key itself has an error.

        The key is bound to the account *typed_by*, to *provider* ("" for a new one) and to the time: it cannot be used
        by another administrator, for another provider, or after KEPT_FOR seconds.
        """
        typed = (self.keys.data or "").strip()
        if self.keys.errors:
            self.kept_key.data = ""
        elif typed:
            self.kept_key.data = vault.encrypt(json.dumps([KEPT, typed_by, provider, int(time_now()), typed]))

    def attach(self, mistakes: Mapping[str, str]) -> list[tuple[str, str]]:
        """Attach each error to its field; return (id, text) of all errors, for the summary at the top."""
        summary = []
        if "icon" in mistakes:
            self.icon.data, self.icon_image.data = "", ""
        for name, why in mistakes.items():
            field = self[name if name in self else "display_name"]
            if isinstance(field, FormField):
                field = field.form.expected
            if isinstance(field, FieldList):
                summary.append(("field-matching", f"{field.label.text}: {why}"))
            else:
                summary.append((field.id, f"{field.label.text}: {why}"))
            field.errors = [*field.errors, f"{why[:1].upper()}{why[1:]}."]
        return summary

    def add_row(self) -> None:
        """Add an empty row to the field matching."""
        if len(self.mapping.entries) < MAX_ROWS:
            self.mapping.append_entry({"field": "", "claim": ""})

    def _mapping(self) -> dict[str, list[str] | str]:
        """Return the rows as a table. A field in several rows gets the claims of all rows, in their order.

        A preset's field without a row is set to "", which means that this provider does not use it.
        """
        preset = Provider("x", preset=self.preset.data if self.preset.data in PRESETS else "ispring")
        mapping: dict[str, list[str] | str] = dict.fromkeys(preset.as_settings()["mapping"], "")
        rows: dict[str, list[str]] = {}
        for entry in self.mapping.entries:
            field, claim = (entry.form.field.data or "").strip(), (entry.form.claim.data or "").strip()
            if field or claim:
                rows.setdefault(field, []).extend(_claims(claim))
        return mapping | rows


def _whole(text: str) -> int | str:
    text = text.strip()
    return int(text) if WHOLE_NUMBER.match(text) else text


def _claims(text: str) -> list[str]:
    """Return the claims of a row. A comma between two claims is dropped, but a name may contain one."""
    *others, last = text.split() or [""]
    return [claim for claim in (*(word.removesuffix(",") for word in others), last) if claim]


def _words(text: str | None) -> list[str]:
    return [word for word in re.split(r"[\s,]+", text or "") if word]
