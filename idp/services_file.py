"""Parse a services file, which has a table `[services.NAME]` in TOML for each service; report all errors at once.

An entry names a preset (presets.py), and needs only the settings that differ from it. The class `Service` in
services.py explains the settings.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from idp.presets import ALGORITHMS_OF, PRESETS
from idp.services import Service
from shared.keys import ALGORITHMS, SYMMETRIC, KeyRefused, load_key_set
from shared.settings import SettingsRefused, is_origin, is_web_url

NAME = re.compile(r"[a-z][a-z0-9_-]{0,59}\Z")  # LoginRadius's rule for names of providers
MAX_LIFETIME = 600  # seconds; a token is used at once, so a longer lifetime would only help a thief
DELIVERIES = ("redirect", "form")

RESERVED_CLAIMS = {"iss", "aud", "iat", "nbf", "exp", "jti", "nonce", "sid", "auth_time", "amr", "events", "typ"}


@dataclass(frozen=True)
class ServiceDefinition:
    """An entry of a services file: the service without keys, its key materials, and the table to store."""

    service: Service
    key_materials: tuple[str, ...] = field(repr=False)
    table: Mapping[str, Any] = field(repr=False)


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
    """Return the definition in *table*, completed from the preset, or raise SettingsRefused with all errors."""
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
    for listed in ("groups", "leads_on_to", "logout_keys"):
        merged[listed] = tuple(merged.get(listed, ()))
    materials = tuple(key.strip() for key in table.get("keys", []))
    return ServiceDefinition(Service(name=name, **merged), materials, given)


_TYPES = {f.name: f.type for f in fields(Service) if f.name not in ("name", "keys")}
_KINDS: Mapping[Any, tuple[type, str]] = {
    "str": (str, "text"),
    "int": (int, "a whole number"),
    "bool": (bool, "true or false"),
    "tuple[str, ...]": (list, "a list of texts"),
    "Mapping[str, str]": (dict, "a table of texts"),
}


def _mistakes(name: str, merged: Mapping[str, Any], keys: Any) -> list[str]:
    """Return the errors in an entry: wrong types, or if there are none, wrong values."""
    if not NAME.match(name):
        return ["name must begin with a lower-case letter and have only such letters, digits, - and _; at most 60"]
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
        if merged.get(key) and not is_web_url(merged[key]):
            mistakes.append(f"{key} must be an absolute http or https URL without a fragment")
    if not all(is_origin(origin) for origin in merged.get("leads_on_to", ())):
        mistakes.append("leads_on_to must be origins: https://host, optionally with a port, and without a path")
    if merged.get("delivery", "redirect") not in DELIVERIES:
        mistakes.append(f"delivery must be one of: {', '.join(DELIVERIES)}")
    if merged.get("signed_query", False) != (merged["preset"] == "discourse"):
        mistakes.append('signed_query belongs to the preset "discourse", and cannot be changed')
    if merged["preset"] == "discourse" and merged.get("delivery", "redirect") != "redirect":
        mistakes.append("delivery must be redirect: Discourse takes no form")
    if merged["preset"] == "discourse" and merged.get("backchannel_logout_url"):
        mistakes.append("backchannel_logout_url must be empty: Discourse does not read sign-out tokens")
    if merged["preset"] == "discourse" and "return_sso_url" in merged.get("claims", {}):
        mistakes.append("claims.return_sso_url cannot be mapped: it tells Discourse's requests from our answers")
    if not 1 <= merged.get("lifetime", 60) <= MAX_LIFETIME:
        mistakes.append(f"lifetime must be 1 to {MAX_LIFETIME} seconds")
    for claim in merged.get("claims", {}):
        if claim in RESERVED_CLAIMS:
            mistakes.append(f"claims.{claim} is set by the issuer and cannot be mapped")
    if algorithm not in ALGORITHMS:
        return [*mistakes, f"algorithm must be one of: {', '.join(ALGORITHMS)}"]
    understood = ALGORITHMS_OF.get(str(merged["preset"]), ALGORITHMS)
    if algorithm not in understood:
        mistakes.append(f"algorithm must be {' or '.join(understood)}: the product does not verify others")
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
