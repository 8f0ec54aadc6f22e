"""Whom we sign people in to. SEAM: replace `ServiceRegistry` to keep services elsewhere than in the database.

A service is registered before anyone is sent to it: a token goes to its `return_url` and nowhere else, whatever a
request says. An entry of a services file names a preset (presets.py) and need only say what differs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

from idp.people import Person
from idp.presets import ALGORITHMS_OF, PRESETS
from shared.keys import ALGORITHMS, SYMMETRIC, KeyRefused, KeySet, TokenKey, load_key_set
from shared.settings import SettingsRefused, is_web_address

NAME = re.compile(r"[a-z][a-z0-9_-]{0,59}\Z")  # as LoginRadius names providers
MAX_LIFETIME = 600  # seconds; a token is used at once, so what lives longer only serves a thief
DELIVERIES = ("redirect", "form")

RESERVED_CLAIMS = {"iss", "aud", "iat", "nbf", "exp", "jti", "nonce", "sid", "auth_time", "amr", "events", "typ"}


class ServiceUnknown(LookupError):
    """No service of this name is registered."""


@dataclass(frozen=True)
class ServiceKey:
    """One of a service's keys: it signs from a moment on, and verifies until another (None: for good)."""

    key: TokenKey
    signs_from: datetime
    accepted_until: datetime | None = None


@dataclass(frozen=True)
class Service:
    """A registered service: the fields are those of the services file, and its keys, newest first."""

    name: str
    preset: str
    return_url: str
    display_name: str = ""
    delivery: str = "redirect"
    token_parameter: str = "jwt"  # a parameter's name
    algorithm: str = "HS256"
    issuer: str = ""
    audience: str = ""
    lifetime: int = 60
    groups: tuple[str, ...] = ()
    backchannel_logout_url: str = ""
    claims: Mapping[str, str] = field(default_factory=dict)
    echo: Mapping[str, str] = field(default_factory=dict)
    nonce: bool = False
    session_claims: bool = False
    addressed: bool = False
    home_url: str = ""  # where "back to the service" leads; default: the front page of return_url's site
    untyped_logout: bool = False  # iSpring Learn's sign-out requests carry no type: take those we did not sign
    logout_algorithm: str = ""  # RS and ES: how the service signs its sign-out requests
    logout_keys: tuple[str, ...] = ()  # RS and ES: with what; public keys, or secrets with an HS algorithm
    allow_short_secret: bool = False  # for a product that hands out secrets shorter than the hash
    keys: tuple[ServiceKey, ...] = field(default=(), repr=False)

    @property
    def title(self) -> str:
        """Return the name that people know it by."""
        return self.display_name or self.name

    @property
    def origin(self) -> str:
        """Return scheme://host[:port] of the return address."""
        parts = urlsplit(self.return_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def home(self) -> str:
        """Return the address of the service's front page."""
        return self.home_url or f"{self.origin}/"

    def admits(self, person: Person) -> bool:
        """Tell whether *person* may use it: with no groups named, everyone may."""
        return not self.groups or not set(self.groups).isdisjoint(person.groups)

    def signing_key(self, now: datetime) -> TokenKey:
        """Return the newest key whose time to sign has come."""
        for entry in self.keys:
            if entry.signs_from <= now:
                return entry.key
        raise KeyRefused(f"the service {self.name} has no key that may sign yet")

    def live_keys(self, now: datetime) -> KeySet:
        """Return the keys that are published and accepted, those included that will sign only later."""
        return KeySet(tuple(k.key for k in self.keys if k.accepted_until is None or k.accepted_until > now))


@dataclass(frozen=True)
class ServiceDefinition:
    """An entry of a services file: the service without keys, its key materials, and the entry to store."""

    service: Service
    key_materials: tuple[str, ...] = field(repr=False)
    table: Mapping[str, Any] = field(repr=False)


class ServiceRegistry(Protocol):
    """Where services are kept. What it returns is complete and valid: keys included, newest first."""

    def find(self, name: str) -> Service:
        """Return the service, or raise ServiceUnknown."""

    def all(self) -> Sequence[Service]:
        """Return every service, ordered by name."""


def parse_services(document: Mapping[str, Any], where: str) -> Mapping[str, ServiceDefinition]:
    """Return the `[services.*]` of *document*, a parsed services file, or raise SettingsRefused."""
    mistakes = [f"{where}: unknown: {name}" for name in document if name != "services"]
    tables = document.get("services", {})
    found: dict[str, ServiceDefinition] = {}
    if not isinstance(tables, dict):
        raise SettingsRefused([f"{where}: services must be tables: [services.NAME]"])
    for name, table in tables.items():
        try:
            found[name] = parse_service(name, table)
        except SettingsRefused as refusal:
            mistakes.extend(f"{where}: {mistake}" for mistake in refusal.mistakes)
    if mistakes:
        raise SettingsRefused(mistakes)
    return found


def parse_service(name: str, table: Any) -> ServiceDefinition:
    """Return the definition in *table*, the preset's values filled in, or raise SettingsRefused with all mistakes."""
    if not isinstance(table, dict):
        raise SettingsRefused([f"services.{name} must be a table"])
    preset = PRESETS.get(str(table.get("preset", "")))
    if preset is None:
        raise SettingsRefused([f"services.{name}.preset must be one of: {', '.join(PRESETS)}"])
    given = {key: value for key, value in table.items() if key != "keys"}
    merged = {**preset, **given}
    mistakes = _mistakes(name, merged, table.get("keys", []))
    if not mistakes and not isinstance(merged["claims"], dict):
        mistakes = ["claims must be a table: claim = field of the person"]
    if mistakes:
        raise SettingsRefused([f"services.{name}.{mistake}" for mistake in mistakes])
    claims = {**preset["claims"], **given.get("claims", {})}
    merged["claims"] = {claim: source for claim, source in claims.items() if source}
    for listed in ("groups", "logout_keys"):
        merged[listed] = tuple(merged.get(listed, ()))
    materials = tuple(key.strip() for key in table.get("keys", []))
    return ServiceDefinition(Service(name=name, **merged), materials, given)


def with_keys(service: Service, keys: Sequence[ServiceKey]) -> Service:
    """Return *service* with its *keys*, newest first."""
    return replace(service, keys=tuple(keys))


_TYPES = {f.name: f.type for f in fields(Service) if f.name not in ("name", "keys")}
_KINDS: Mapping[Any, tuple[type, str]] = {
    "str": (str, "text"),
    "int": (int, "a whole number"),
    "bool": (bool, "true or false"),
    "tuple[str, ...]": (list, "a list of texts"),
    "Mapping[str, str]": (dict, "a table of texts"),
}


def _mistakes(name: str, merged: Mapping[str, Any], keys: Any) -> list[str]:
    """Return what is wrong with an entry: shapes first, and only if those are right, meanings."""
    if not NAME.match(name):
        return ["name must begin with a small letter; letters, digits, - and _; at most 60"]
    shapes = [f"{key} is unknown" for key in merged if key not in _TYPES]
    for key, value in {**{k: v for k, v in merged.items() if k in _TYPES}, "keys": keys}.items():
        kind, words = _KINDS[_TYPES.get(key, "tuple[str, ...]")]
        items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if type(value) is not kind or not all(isinstance(item, str) for item in items):
            shapes.append(f"{key} must be {words}")
    if not merged.get("return_url"):
        shapes.append("return_url is missing")
    return shapes or _meanings(merged, keys)


def _meanings(merged: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    mistakes = []
    algorithm = merged.get("algorithm", "HS256")
    for key in ("return_url", "backchannel_logout_url", "home_url"):
        if merged.get(key) and not is_web_address(merged[key]):
            mistakes.append(f"{key} must be an absolute http or https address without fragment")
    if merged.get("delivery", "redirect") not in DELIVERIES:
        mistakes.append(f"delivery must be one of: {', '.join(DELIVERIES)}")
    if not 1 <= merged.get("lifetime", 60) <= MAX_LIFETIME:
        mistakes.append(f"lifetime must be 1 to {MAX_LIFETIME} seconds")
    for claim in merged.get("claims", {}):
        if claim in RESERVED_CLAIMS:
            mistakes.append(f"claims.{claim} is set by the issuer and cannot be mapped")
    if algorithm not in ALGORITHMS:
        return [*mistakes, f"algorithm must be one of: {', '.join(ALGORITHMS)}"]
    understood = ALGORITHMS_OF.get(str(merged["preset"]), ALGORITHMS)
    if algorithm not in understood:
        mistakes.append(f"algorithm must be {' or '.join(understood)}: the product verifies no other")
    short = merged.get("allow_short_secret", False)
    mistakes += _key_mistakes("keys", keys, algorithm, short, signing=True)
    if merged.get("logout_keys"):
        logout_algorithm = merged.get("logout_algorithm") or algorithm
        mistakes += _key_mistakes("logout_keys", merged["logout_keys"], logout_algorithm, short, signing=False)
    elif merged.get("logout_algorithm") and algorithm not in SYMMETRIC:
        mistakes.append("logout_keys is missing")
    return mistakes


def _key_mistakes(name: str, keys: Sequence[str], algorithm: str, short: bool, *, signing: bool) -> list[str]:
    try:
        load_key_set(keys, algorithm, allow_short_secret=short, signing=signing)
    except KeyRefused as refusal:
        return [f"{name}: {refusal}"]
    return []
