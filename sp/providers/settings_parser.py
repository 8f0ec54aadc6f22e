"""Parse the settings of a provider from a TOML file, the settings page or the command line.

`sp.providers.setting_reader` validates each setting on its own. This module checks that the settings fit together.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from shared.keys import ALGORITHMS, SYMMETRIC
from sp.providers.provider import Provider, is_safe_url
from sp.providers.setting_reader import ProviderRefused, Reader
from sp.routes import ERROR_PAGE, Routes

NAME = re.compile(r"[a-z][a-z0-9_-]{0,59}\Z")  # seed: LoginRadius, "Provider Name"
DELIVERIES = ("query", "form", "header")
UNSOLICITED = ("restart", "accept", "refuse")
ACCESS_TOKEN_DELIVERIES = ("none", "fragment", "query")
MAX_SECONDS = 86400 * 366
MAX_GROUP = 200  # characters


def parse_name(text: str) -> str:
    """Return the provider name in lower case, or raise ProviderRefused (seed: LoginRadius, "Auto-lower cased")."""
    name = text.strip().lower()
    if not NAME.match(name):
        raise ProviderRefused({"name": "must begin with a letter and have 1 to 60 letters, digits, - and _"})
    return name


def parse_provider(name: str, settings: Mapping[str, Any], own: Routes | None = None) -> Provider:
    """Return the provider that *settings* describe, or raise ProviderRefused with all errors at once.

    *own* are the gateway's URLs. It is given when settings are saved, because no setting may redirect people in a loop.
    `keys` is not parsed here, because it contains secrets. `shared.keys` checks keys.
    """
    reader = Reader(settings, {field.name: field.default for field in fields(Provider) if field.name != "name"})
    provider = Provider(
        name=parse_name(name),
        preset=reader.preset,
        display_name=reader.text("display_name", longest=100),
        enabled=reader.flag("enabled"),
        default=reader.flag("default"),
        show_on_login=reader.flag("show_on_login"),
        icon=reader.icon("icon"),
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
        admin_group=reader.text("admin_group", longest=MAX_GROUP),
        mapping=reader.mapping(),
    )
    mistakes = reader.mistakes
    for setting, why in (*_mistakes_together(provider), *(_circles(provider, own) if own else ())):
        mistakes.setdefault(setting, why)
    if mistakes:
        raise ProviderRefused(mistakes)
    return provider


def _mistakes_together(provider: Provider) -> Iterator[tuple[str, str]]:
    """Yield an error for each contradiction between settings, with the name of the setting to correct."""
    if not {"id", "email"} <= set(dict(provider.mapping)):
        yield "mapping", "id and email are required"
    if not {"iat", "exp"} & set(provider.required_claims):
        yield "required_claims", "must have iat or exp, or a token would never expire"
    if provider.admin_group and "groups" not in dict(provider.mapping):
        yield "admin_group", "needs a claim for the field groups in the field matching"
    elif provider.admin_group and "iat" not in provider.required_claims:
        yield (
            "admin_group",
            "needs iat among the mandatory claims, so that an older token cannot give the right back",
        )
    if provider.jwks_url and provider.algorithm in SYMMETRIC:
        yield "jwks_url", "is only for RS and ES algorithms"
    elif provider.jwks_url and not is_safe_url(provider.jwks_url):
        yield "jwks_url", "must be https, except on this machine"


def _circles(provider: Provider, own: Routes) -> Iterator[tuple[str, str]]:
    """Yield an error for each URL of the gateway itself to which an ended sign-in must not redirect.

    Such a redirect could restart the sign-in. `error_url` may be no URL of the gateway except the error page.
    `return_url` may be no step of a sign-in.
    """
    path = own.path_at(provider.error_url)
    if path is not None and own.include(path) and not own.is_error_page(path):
        yield (
            "error_url",
            f"is a URL of the gateway itself: use a page of the application, another site, or {ERROR_PAGE}",
        )
    path = own.path_at(provider.return_url)
    if path is not None and own.is_sign_in(path):
        yield "return_url", "would start the sign-in again, without end: use a page of the application"
