"""Define the settings of one identity provider. They say what the gateway trusts.

A `Provider` from `sp.providers.settings_parser` is valid, so other code need not check it again. A `Provider` does not
contain keys. Keys are encrypted and stored separately. `sp.providers.presets` has the defaults of products.
`sp.providers.risks` warns about settings that are allowed but risky.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from shared.settings import is_loopback
from sp.providers.presets import PRESET_SETTINGS
from sp.providers.setting_reader import NOTHING_EXPECTED, Expectation, FieldMatching
from sp.routes import Routes


@dataclass(frozen=True)
class Provider:
    """One identity provider. docs/protocol.md describes the settings and their defaults. Times are in seconds."""

    name: str
    preset: str = "ispring"
    display_name: str = ""
    enabled: bool = True
    default: bool = False
    show_on_login: bool = True
    icon: str = ""
    algorithm: str = "HS256"
    jwks_url: str = ""
    login_url: str = ""
    logout_url: str = ""
    return_url: str = "/"
    error_url: str = ""
    token_parameter: str = "jwt"
    deliveries: tuple[str, ...] = ("query", "form")
    clock_skew: int = 30
    expiry_adjustment: int = 0
    max_age: int = 300
    required_claims: tuple[str, ...] = ("iat", "jti", "exp")
    issuer: Expectation = NOTHING_EXPECTED
    audience: Expectation = NOTHING_EXPECTED
    auto_create: bool = True
    auto_lookup: bool = True
    update_profile: bool = True
    update_email: bool = False
    email_domains: tuple[str, ...] = ()
    unsolicited: str = "restart"
    require_nonce: bool = False
    access_token_delivery: str = "none"
    allow_short_secret: bool = False
    admin_group: str = ""
    mapping: FieldMatching = ()

    @property
    def title(self) -> str:
        """The name to show to people."""
        return self.display_name or self.name

    @property
    def strict(self) -> bool:
        """Whether the additional rules of the strict preset apply."""
        return self.preset == "strict"

    @property
    def numeric_token_id(self) -> bool:
        """Whether jti may be a number, as in old Zendesk samples."""
        return self.preset == "zendesk"

    @cached_property
    def mapped_claims(self) -> tuple[str, ...]:
        """Every claim that the field matching uses, without duplicates."""
        return tuple(dict.fromkeys(claim for _field, claims in self.mapping for claim in claims))

    @cached_property
    def mapped_email(self) -> tuple[str, ...]:
        """Every claim that may contain the e-mail address, including `email` itself."""
        return tuple(dict.fromkeys(("email", *dict(self.mapping).get("email", ()))))

    def token_url(self, routes: Routes) -> str:
        """Return the "Return URL" to enter at the identity provider. The provider sends people there with a token."""
        name = "" if self.default else f"/{self.name}"
        path = "/access/jwt" if self.preset in ("zendesk", "loginradius") else "/sso/login/jwt"
        return f"{routes.origin}{routes.prefix}{path}{name}"

    def as_settings(self) -> dict[str, Any]:
        """Return the settings by their names in files. From them, `parse_provider` builds the same provider."""
        settings = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "name"}
        for name in ("deliveries", "required_claims", "email_domains"):
            settings[name] = list(settings[name])
        for name in ("issuer", "audience"):
            settings[name] = dict(vars(settings[name]))
        matching = {field: claims[0] if len(claims) == 1 else list(claims) for field, claims in self.mapping}
        unwanted: dict[str, Any] = dict.fromkeys(PRESET_SETTINGS[self.preset]["mapping"], "")
        settings["mapping"] = unwanted | matching  # a field of the preset that this provider does not use stays unused
        return settings


def is_safe_url(url: str) -> bool:
    """Tell whether traffic to and from an absolute *url* is protected against modification."""
    parts = urlsplit(url)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")
