"""Define one identity provider as the gateway's setting: what is trusted, and how far. Pure.

`parse_provider` builds a `Provider` from the names of the wire contract, as a TOML file, the settings page and the
command line give them. A `Provider` is valid by construction: code that has one need not check it again. Keys are not
part of it; they are stored beside it, encrypted. `sp.providers.setting_parser` says what each setting may be,
`sp.providers.presets` what it is by default, and `sp.providers.risks` what an administrator should know about those
that are allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from shared.keys import ALGORITHMS, SYMMETRIC
from shared.settings import is_loopback
from sp.providers.presets import PRESET_SETTINGS
from sp.providers.setting_parser import NOTHING_EXPECTED, Expectation, FieldMatching, Reader
from sp.providers.setting_parser import ProviderRefused as ProviderRefused  # raised by `parse_provider`
from sp.routes import ERROR_PAGE, Routes

NAME = re.compile(r"[a-z][a-z0-9_-]{0,59}\Z")  # seed: LoginRadius, "Provider Name"
DELIVERIES = ("query", "form", "header")
UNSOLICITED = ("restart", "accept", "refuse")
ACCESS_TOKEN_DELIVERIES = ("none", "fragment", "query")
MAX_SECONDS = 86400 * 366


@dataclass(frozen=True)
class Provider:
    """One identity provider. Names, meanings and defaults come from the wire contract; times are in seconds."""

    name: str
    preset: str = "ispring"
    display_name: str = ""
    enabled: bool = True
    default: bool = False
    show_on_login: bool = True
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
    mapping: FieldMatching = ()

    @property
    def title(self) -> str:
        """The name to show to people."""
        return self.display_name or self.name

    @property
    def strict(self) -> bool:
        """Whether the additional rules of the strict preset hold."""
        return self.preset == "strict"

    @property
    def numeric_token_id(self) -> bool:
        """Whether jti may be a number, as in old Zendesk samples."""
        return self.preset == "zendesk"

    @cached_property
    def mapped_claims(self) -> tuple[str, ...]:
        """Every claim that the field matching uses, once."""
        return tuple(dict.fromkeys(claim for _field, claims in self.mapping for claim in claims))

    @cached_property
    def mapped_email(self) -> tuple[str, ...]:
        """Every claim that may contain the e-mail address, including `email` itself."""
        return tuple(dict.fromkeys(("email", *dict(self.mapping).get("email", ()))))

    def token_url(self, routes: Routes) -> str:
        """Return the "Return URL" to enter at the identity provider: where it sends people with a token."""
        name = "" if self.default else f"/{self.name}"
        path = "/access/jwt" if self.preset in ("zendesk", "loginradius") else "/sso/login/jwt"
        return f"{routes.origin}{routes.prefix}{path}{name}"

    def as_settings(self) -> dict[str, Any]:
        """Return the settings under their contract names; `parse_provider` of it gives this provider again."""
        settings = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "name"}
        for name in ("deliveries", "required_claims", "email_domains"):
            settings[name] = list(settings[name])
        for name in ("issuer", "audience"):
            settings[name] = dict(vars(settings[name]))
        matching = {field: claims[0] if len(claims) == 1 else list(claims) for field, claims in self.mapping}
        unwanted: dict[str, Any] = dict.fromkeys(PRESET_SETTINGS[self.preset]["mapping"], "")
        settings["mapping"] = unwanted | matching  # a preset's field that this provider does not use stays unused
        return settings


def parse_name(text: str) -> str:
    """Return the provider name in lower case, or raise ProviderRefused (seed: LoginRadius, "Auto-lower cased")."""
    name = text.strip().lower()
    if not NAME.match(name):
        raise ProviderRefused({"name": "must begin with a letter and have 1 to 60 letters, digits, - and _"})
    return name


def parse_provider(name: str, settings: Mapping[str, Any], own: Routes | None = None) -> Provider:
    """Return the provider that *settings* describe, or raise ProviderRefused with all errors at once.

    *own*, given when settings are saved, are the gateway's URLs: a setting must not redirect people in a loop.
    `keys` is not looked at here: it holds secrets, and its policy is `shared.keys`.
    """
    reader = Reader(settings, {field.name: field.default for field in fields(Provider) if field.name != "name"})
    provider = Provider(
        name=parse_name(name),
        preset=reader.preset,
        display_name=reader.text("display_name", longest=100),
        enabled=reader.flag("enabled"),
        default=reader.flag("default"),
        show_on_login=reader.flag("show_on_login"),
        algorithm=reader.choice("algorithm", ALGORITHMS),
        jwks_url=reader.url("jwks_url"),
        login_url=reader.url("login_url"),
        logout_url=reader.url("logout_url"),
        return_url=reader.url_or_path("return_url"),
        error_url=reader.url_or_path("error_url"),
        token_parameter=reader.parameter("token_parameter"),
        deliveries=reader.choices("deliveries", DELIVERIES),
        clock_skew=reader.seconds("clock_skew", 0, 3600),
        expiry_adjustment=reader.seconds("expiry_adjustment", -MAX_SECONDS, MAX_SECONDS),
        max_age=reader.seconds("max_age", 1, MAX_SECONDS),
        required_claims=reader.required_claims("required_claims"),
        issuer=reader.expectation("issuer"),
        audience=reader.expectation("audience"),
        auto_create=reader.flag("auto_create"),
        auto_lookup=reader.flag("auto_lookup"),
        update_profile=reader.flag("update_profile"),
        update_email=reader.flag("update_email"),
        email_domains=reader.domains("email_domains"),
        unsolicited=reader.choice("unsolicited", UNSOLICITED),
        require_nonce=reader.flag("require_nonce"),
        access_token_delivery=reader.choice("access_token_delivery", ACCESS_TOKEN_DELIVERIES),
        allow_short_secret=reader.flag("allow_short_secret"),
        mapping=reader.mapping(),
    )
    mistakes = reader.mistakes
    for setting, why in (*_mistakes_together(provider), *(_circles(provider, own) if own else ())):
        mistakes.setdefault(setting, why)
    if mistakes:
        raise ProviderRefused(mistakes)
    return provider


def is_safe_url(url: str) -> bool:
    """Tell whether traffic from and to an absolute *url* is protected against changes on the way."""
    parts = urlsplit(url)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def _mistakes_together(provider: Provider) -> Iterator[tuple[str, str]]:
    """Yield contradictions between settings, by the setting with the error."""
    if not {"id", "email"} <= set(dict(provider.mapping)):
        yield "mapping", "id and email are required"
    if not {"iat", "exp"} & set(provider.required_claims):
        yield "required_claims", "must have iat or exp, or a token would never expire"
    if provider.jwks_url and provider.algorithm in SYMMETRIC:
        yield "jwks_url", "is only for RS and ES algorithms"
    elif provider.jwks_url and not is_safe_url(provider.jwks_url):
        yield "jwks_url", "must be https, except on this machine"


def _circles(provider: Provider, own: Routes) -> Iterator[tuple[str, str]]:
    """Yield URLs of ours that would send people back into the sign-in that has just ended."""
    path = own.path_at(provider.error_url)
    if path is not None and own.include(path) and not own.is_error_page(path):
        yield (
            "error_url",
            f"is a URL of the gateway itself: use a page of the application, another site, or {ERROR_PAGE}",
        )
    path = own.path_at(provider.return_url)
    if path is not None and own.is_sign_in(path):
        yield "return_url", "would start the sign-in again, without end: use a page of the application"
