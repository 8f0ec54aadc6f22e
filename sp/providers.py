"""What is trusted, and how far: one identity provider as the gateway's setting.

A `Provider` is built by `parse_provider` from the names of the wire contract, as a TOML file, the settings page and
the command line give them, and is right by construction: whoever holds one need not check it again. Presets are
defaults that carry what a named product does. Keys are not part of it; they live beside it, sealed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit

from shared.keys import ALGORITHMS, SYMMETRIC
from shared.settings import is_loopback, is_web_address
from sp.redirects import is_own_path

NAME = re.compile(r"[a-z][a-z0-9_-]{0,59}\Z")  # seed: LoginRadius, "Provider Name"
FIELD = re.compile(r"[a-z][a-z0-9_]{0,59}\Z")
PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,59}\Z")
PRESETS = ("ispring", "zendesk", "loginradius", "strict")
DELIVERIES = ("query", "form", "header")
UNSOLICITED = ("restart", "accept", "refuse")
ACCESS_TOKEN_DELIVERIES = ("none", "fragment", "query")
MAX_SECONDS = 86400 * 366

Mapping_ = Mapping[str, Any]
Value = TypeVar("Value")
FieldMatching = tuple[tuple[str, tuple[str, ...]], ...]


class ProviderRefused(ValueError):
    """Settings that make no provider. `mistakes` has a text for each setting at fault."""

    def __init__(self, mistakes: Mapping[str, str]) -> None:
        self.mistakes = dict(mistakes)
        super().__init__("; ".join(f"{name}: {why}" for name, why in mistakes.items()))


@dataclass(frozen=True)
class Expectation:
    """What is expected of iss or aud (seed: LoginRadius, "Expected Value", "Match Value", "Is Mandatory")."""

    expected: str = ""
    match: bool = True
    required: bool = False


@dataclass(frozen=True)
class Provider:
    """One identity provider. Names, meanings and defaults are those of the wire contract; times are seconds."""

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
    issuer: Expectation = Expectation()
    audience: Expectation = Expectation()
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
        """Every claim that the field matching looks at, once."""
        return tuple(dict.fromkeys(claim for _field, claims in self.mapping for claim in claims))

    @cached_property
    def mapped_email(self) -> tuple[str, ...]:
        """Every claim that may give the e-mail address, and the one of that name."""
        return tuple(dict.fromkeys(("email", *dict(self.mapping).get("email", ()))))

    @property
    def warnings(self) -> list[str]:
        """What an administrator should know about these settings, one sentence each."""
        return _warnings(self)

    def as_settings(self) -> dict[str, Any]:
        """Return the settings under their contract names; `parse_provider` of it gives this provider again."""
        settings = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "name"}
        for name in ("deliveries", "required_claims", "email_domains"):
            settings[name] = list(settings[name])
        for name in ("issuer", "audience"):
            settings[name] = dict(vars(settings[name]))
        matching = {field: claims[0] if len(claims) == 1 else list(claims) for field, claims in self.mapping}
        unwanted: dict[str, Any] = dict.fromkeys(_PRESET_SETTINGS[self.preset]["mapping"], "")
        settings["mapping"] = unwanted | matching  # a field that the preset has and this provider has not stays away
        return settings


_PROFILE = {"email": "email", "family_name": "family_name", "given_name": "given_name", "groups": "groups"}
_PRESET_SETTINGS: dict[str, dict[str, Any]] = {
    # The published authentication.php identifies people by e-mail and sends nothing else.
    "ispring": {
        "required_claims": ["iat", "jti", "exp", "email"],
        "mapping": {"id": "email", **_PROFILE, "login": ["preferred_username", "sub"]},
    },
    # Zendesk: no exp, three minutes, posted from a form, the whole name in one claim.
    "zendesk": {
        "required_claims": ["iat", "jti", "email", "name"],
        "max_age": 180,
        "deliveries": ["form"],
        "mapping": {"id": ["external_id", "email"], "email": "email", "name": "name", "groups": "organization"},
    },
    # LoginRadius: an existing profile, named by id, gets an access token; nobody is created.
    "loginradius": {
        "token_parameter": "jwttoken",
        "auto_create": False,
        "error_url": "/access/jwt/error",
        "access_token_delivery": "query",
        "mapping": {"id": ["id", "sub"], **_PROFILE, "login": ["preferred_username", "sub"]},
    },
    "strict": {
        "required_claims": ["iss", "aud", "sub", "iat", "exp", "nbf", "jti", "nonce"],
        "issuer": {"expected": "", "match": True, "required": True},
        "audience": {"expected": "", "match": True, "required": True},
        "unsolicited": "refuse",
        "require_nonce": True,
        "mapping": {"id": "sub", **_PROFILE, "login": ["preferred_username", "sub"]},
    },
}


def parse_name(text: str) -> str:
    """Return the provider name in lower case, or raise ProviderRefused (seed: LoginRadius, "Auto-lower cased")."""
    name = text.strip().lower()
    if not NAME.match(name):
        raise ProviderRefused({"name": "must begin with a letter; letters, digits, - and _; 1 to 60 characters"})
    return name


def parse_provider(name: str, settings: Mapping_) -> Provider:
    """Return the provider that *settings* describe, or raise ProviderRefused with every mistake at once.

    `keys` is not looked at here: it holds secrets, and its policy is `shared.keys`.
    """
    reader = _Reader(settings)
    provider = Provider(
        name=parse_name(name),
        preset=reader.preset,
        display_name=reader.text("display_name", longest=100),
        enabled=reader.flag("enabled"),
        default=reader.flag("default"),
        show_on_login=reader.flag("show_on_login"),
        algorithm=reader.choice("algorithm", ALGORITHMS),
        jwks_url=reader.address("jwks_url"),
        login_url=reader.address("login_url"),
        logout_url=reader.address("logout_url"),
        return_url=reader.return_address("return_url"),
        error_url=reader.return_address("error_url"),
        token_parameter=reader.parameter("token_parameter"),
        deliveries=reader.choices("deliveries", DELIVERIES),
        clock_skew=reader.seconds("clock_skew", 0, 3600),
        expiry_adjustment=reader.seconds("expiry_adjustment", -MAX_SECONDS, MAX_SECONDS),
        max_age=reader.seconds("max_age", 1, MAX_SECONDS),
        required_claims=reader.required_claims(),
        issuer=reader.expectation("issuer"),
        audience=reader.expectation("audience"),
        auto_create=reader.flag("auto_create"),
        auto_lookup=reader.flag("auto_lookup"),
        update_profile=reader.flag("update_profile"),
        update_email=reader.flag("update_email"),
        email_domains=tuple(domain.lower().lstrip("@") for domain in reader.texts("email_domains")),
        unsolicited=reader.choice("unsolicited", UNSOLICITED),
        require_nonce=reader.flag("require_nonce"),
        access_token_delivery=reader.choice("access_token_delivery", ACCESS_TOKEN_DELIVERIES),
        allow_short_secret=reader.flag("allow_short_secret"),
        mapping=reader.mapping(),
    )
    reader.finish(provider)
    return provider


class _Reader:
    """Reads settings over the preset's over the defaults, and collects the mistakes."""

    def __init__(self, settings: Mapping_) -> None:
        self.mistakes: dict[str, str] = {}
        self.preset = str(settings.get("preset", "ispring"))
        if self.preset not in PRESETS:
            self.mistakes["preset"] = f"must be one of {', '.join(PRESETS)}"
            self.preset = "ispring"
        known = {field.name for field in fields(Provider)} - {"name"} | {"keys"}
        for name in settings:
            if name not in known:
                self.mistakes[name] = "is no setting of a provider"
        defaults = {field.name: field.default for field in fields(Provider)}
        self.settings: dict[str, object] = {**defaults, **_PRESET_SETTINGS[self.preset], **settings}

    def text(self, name: str, longest: int = 2048) -> str:
        value = self.settings[name]
        if not isinstance(value, str) or len(value) > longest or not value.isprintable():
            return self._refuse(name, f"must be text of at most {longest} characters", "")
        return value.strip()

    def flag(self, name: str) -> bool:
        value = self.settings[name]
        return value if isinstance(value, bool) else self._refuse(name, "must be true or false", False)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.settings[name]
        return (
            value
            if isinstance(value, str) and value in choices
            else self._refuse(name, f"must be one of {', '.join(choices)}", choices[0])
        )

    def choices(self, name: str, choices: tuple[str, ...]) -> tuple[str, ...]:
        values = self.texts(name)
        if not values or not set(values) <= set(choices):
            return self._refuse(name, f"must be one or more of {', '.join(choices)}", choices)
        return values

    def texts(self, name: str) -> tuple[str, ...]:
        values = self.settings[name]
        if not isinstance(values, (list, tuple)) or not all(isinstance(v, str) and v.strip() for v in values):
            return self._refuse(name, "must be a list of texts", ())
        return tuple(dict.fromkeys(value.strip() for value in values))

    def required_claims(self) -> tuple[str, ...]:
        """jti is always among them: without it a token could be used twice."""
        return tuple(dict.fromkeys((*self.texts("required_claims"), "jti")))

    def seconds(self, name: str, least: int, most: int) -> int:
        value = self.settings[name]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            return self._refuse(name, f"must be a whole number of seconds, {least} to {most}", 0)
        return value

    def address(self, name: str) -> str:
        value = self.text(name)
        if value and not is_web_address(value):
            return self._refuse(name, "must be an absolute http or https address", "")
        return value

    def return_address(self, name: str) -> str:
        value = self.text(name)
        if value and not is_own_path(value) and not is_web_address(value):
            return self._refuse(name, "must be a path that begins with one /, or an absolute http or https address", "")
        return value

    def parameter(self, name: str) -> str:
        value = self.text(name)
        return value if PARAMETER.match(value) else self._refuse(name, "must be a plain parameter name", "jwt")

    def expectation(self, name: str) -> Expectation:
        value = self.settings[name]
        if isinstance(value, Expectation):
            return value
        if not isinstance(value, dict) or not set(value) <= {"expected", "match", "required"}:
            return self._refuse(name, "must have expected, match and required, and nothing else", Expectation())
        expectation = Expectation(**{**_PRESET_SETTINGS[self.preset].get(name, {}), **value})
        if not isinstance(expectation.expected, str) or not (
            isinstance(expectation.match, bool) and isinstance(expectation.required, bool)
        ):
            return self._refuse(name, "needs a text (expected) and true or false (match, required)", Expectation())
        return expectation

    def mapping(self) -> FieldMatching:
        """Field matching. A table that is given adds to the preset's: a field that is not wanted is set to ""."""
        preset = _PRESET_SETTINGS[self.preset]["mapping"]
        given = self.settings["mapping"]
        if not isinstance(given, dict):
            return self._refuse("mapping", "must be a table of fields and claims", ())
        matching: dict[str, tuple[str, ...]] = {}
        for field, claims in {**preset, **given}.items():
            names = [claims] if isinstance(claims, str) else claims
            if not FIELD.match(str(field)):
                self.mistakes["mapping"] = f"{field!r} is no field name: small letters, digits and _"
            elif not isinstance(names, (list, tuple)) or not all(isinstance(n, str) and len(n) <= 100 for n in names):
                self.mistakes["mapping"] = f"{field} must have the name of a claim, or a list of names"
            elif found := tuple(name.strip() for name in names if name.strip()):
                matching[field] = found
        return tuple(matching.items())

    def finish(self, provider: Provider) -> None:
        mapped = dict(provider.mapping)
        if not {"id", "email"} <= set(mapped):
            self.mistakes.setdefault("mapping", "id and email are required")
        if not {"iat", "exp"} & set(provider.required_claims):
            self.mistakes.setdefault("required_claims", "must have iat or exp, or a token would be good for ever")
        if provider.jwks_url:
            if provider.algorithm in SYMMETRIC:
                self.mistakes.setdefault("jwks_url", "goes with RS and ES algorithms only")
            elif not _is_safe(provider.jwks_url):
                self.mistakes.setdefault("jwks_url", "must be https, except on this machine")
        if self.mistakes:
            raise ProviderRefused(self.mistakes)

    def _refuse(self, name: str, why: str, instead: Value) -> Value:
        self.mistakes.setdefault(name, why)
        return instead


def _is_safe(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def _warnings(provider: Provider) -> list[str]:
    found = [
        f"{name} uses http: anyone on the way can read and change what passes. Use https."
        for name in ("login_url", "logout_url", "return_url", "error_url")
        if (address := getattr(provider, name)).startswith("http:") and not _is_safe(address)
    ]
    if provider.allow_short_secret:
        found.append("A secret that is shorter than its hash is allowed: it can be guessed off line. Use a longer one.")
    if provider.unsolicited == "accept":
        found.append("Sign-ins that nobody asked for are accepted: a stranger can sign people in to his own account.")
    if not provider.login_url:
        found.append("There is no login URL: people can come from the identity provider, but cannot be sent to it.")
    if provider.strict and not (provider.issuer.expected and provider.audience.expected):
        found.append("Issuer and audience are required, but no expected value is set for both.")
    if "query" in provider.deliveries and "form" not in provider.deliveries:
        found.append("Tokens come in the address only, where logs and histories see them. Allow the form as well.")
    return found
