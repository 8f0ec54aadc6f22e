"""Read the settings of a provider one by one, and collect every error.

This module validates each setting on its own. `sp.providers.settings_parser` checks that the settings fit together.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from shared.settings import is_web_url
from sp.providers.icon_images import IconRefused, image_of
from sp.providers.presets import PRESET_SETTINGS, PRESETS
from sp.redirects import is_own_path

# The names of the built-in icons. With "", the icon is the initials of the provider's name.
MARKS_AND_INITIALS = ("", "building", "globe", "key", "people", "school", "shield")
FIELD = re.compile(r"[a-z][a-z0-9_]{0,59}\Z")
PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,59}\Z")
CLAIM = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]{1,100}\Z")
NO_CLAIM = "a claim name must have 1 to 100 characters and no white space"
LABEL = re.compile(r"(?!-)[a-z0-9\u0080-\U0010ffff-]{1,63}(?<!-)\Z")  # RFC 1035, 2.3.1, and letters of any script
MAX_DOMAIN_LENGTH = 253  # RFC 1035, section 3.1, as text
TAKEN_PARAMETERS = ("return_to", "nonce", "code", "reference")  # used by /sso/start, login URLs and the error page
TOKEN_CLAIMS = frozenset({"jti", "iat", "exp", "nbf", "nonce", "iss", "aud", "sid", "auth_time"})

Value = TypeVar("Value")
FieldMatching = tuple[tuple[str, tuple[str, ...]], ...]


class ProviderRefused(ValueError):
    """Settings that are not valid. `mistakes` says for each setting with an error what is wrong."""

    def __init__(self, mistakes: Mapping[str, str]) -> None:
        self.mistakes = dict(mistakes)
        super().__init__("; ".join(f"{name}: {why}" for name, why in mistakes.items()))


@dataclass(frozen=True)
class Expectation:
    """The expected value of iss or aud (seed: LoginRadius, "Expected Value", "Match Value", "Is Mandatory")."""

    expected: str = ""
    match: bool = True
    required: bool = False


NOTHING_EXPECTED = Expectation()


class Reader:
    """Reads settings, and collects the errors. A missing setting comes from the preset, or else from the defaults."""

    def __init__(self, settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        self.mistakes: dict[str, str] = {}
        self.preset = str(settings.get("preset", "ispring"))
        if self.preset not in PRESETS:
            self.mistakes["preset"] = f"must be one of {', '.join(PRESETS)}"
            self.preset = "ispring"
        for name in settings:
            if name not in {*defaults, "keys"}:
                self.mistakes[name] = "is not a setting of a provider"
        self.settings: dict[str, object] = {**defaults, **PRESET_SETTINGS[self.preset], **settings}

    def text(self, name: str, longest: int = 2048) -> str:
        value = self.settings[name]
        if not isinstance(value, str) or len(value) > longest or not value.isprintable():
            return self.refuse(name, f"must be text of at most {longest} characters", "")
        return value.strip()

    def flag(self, name: str) -> bool:
        value = self.settings[name]
        return value if isinstance(value, bool) else self.refuse(name, "must be true or false", False)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.settings[name]
        return (
            value
            if isinstance(value, str) and value in choices
            else self.refuse(name, f"must be one of {', '.join(choices)}", choices[0])
        )

    def icon(self, name: str) -> str:
        value = self.settings[name]
        if isinstance(value, str) and value in MARKS_AND_INITIALS:
            return value
        try:
            if isinstance(value, str) and image_of(value) is not None:
                return value
        except IconRefused as refusal:
            return self.refuse(name, str(refusal), "")
        return self.refuse(name, f"must be one of {', '.join(filter(None, MARKS_AND_INITIALS))}, or an image", "")

    def choices(self, name: str, choices: tuple[str, ...]) -> tuple[str, ...]:
        values = self.texts(name)
        if not values or not set(values) <= set(choices):
            return self.refuse(name, f"must be one or more of {', '.join(choices)}", choices)
        return values

    def texts(self, name: str) -> tuple[str, ...]:
        values = self.settings[name]
        if not isinstance(values, (list, tuple)) or not all(isinstance(v, str) and v.strip() for v in values):
            return self.refuse(name, "must be a list of strings", ())
        return tuple(dict.fromkeys(value.strip() for value in values))

    def required_claims(self, name: str) -> tuple[str, ...]:
        """Return the required claims. They always include jti, because without jti a token could be used twice."""
        claims = self.texts(name)
        if wrong := [claim for claim in claims if not CLAIM.match(claim)]:
            return self.refuse(name, f"{_quoted(wrong)}: {NO_CLAIM}", ("iat", "jti"))
        return tuple(dict.fromkeys((*claims, "jti")))

    def domains(self, name: str) -> tuple[str, ...]:
        """Return e-mail domains: the part of an e-mail address after the @. A leading @ is allowed."""
        # As for e-mails, only the case of ASCII letters is ignored.
        domains = tuple(value.encode().lower().decode().removeprefix("@") for value in self.texts(name))
        wrong = [f"{domain[:100]!r} {why}" for domain in domains if (why := _fault_of_domain(domain))]
        return self.refuse(name, "; ".join(wrong), ()) if wrong else domains

    def seconds(self, name: str, least: int, most: int) -> int:
        value = self.settings[name]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            return self.refuse(name, f"must be a whole number of seconds, {least} to {most}", 0)
        return value

    def url(self, name: str) -> str:
        value = self.text(name)
        if value and not is_web_url(value):
            return self.refuse(name, "must be an absolute http or https URL", "")
        return value

    def url_or_path(self, name: str) -> str:
        value = self.text(name)
        if value and not is_own_path(value) and not is_web_url(value):
            return self.refuse(name, "must be a path that begins with one /, or an absolute http or https URL", "")
        return value

    def parameter(self, name: str) -> str:
        value = self.text(name)
        if value in TAKEN_PARAMETERS:
            return self.refuse(name, f"{value} is a reserved query parameter", "jwt")
        return (
            value
            if PARAMETER.match(value)
            else self.refuse(
                name, "must be a parameter name of 1 to 60 letters, digits, _ . and -, starting with a letter", "jwt"
            )
        )

    def expectation(self, name: str) -> Expectation:
        """Return an expectation. The setting is a table, or a text with only the expected value.

        The members that are missing come from the preset, or else from the defaults of `Expectation`.
        """
        value = self.settings[name]
        if isinstance(value, Expectation):
            return value
        if isinstance(value, str):
            value = {"expected": value.strip()}
        if not isinstance(value, dict) or not set(value) <= {"expected", "match", "required"}:
            return self.refuse(name, "must have expected, match and required, and nothing else", NOTHING_EXPECTED)
        expectation = Expectation(**{**PRESET_SETTINGS[self.preset].get(name, {}), **value})
        if not isinstance(expectation.expected, str) or not (
            isinstance(expectation.match, bool) and isinstance(expectation.required, bool)
        ):
            return self.refuse(
                name, "must have a string in expected, and true or false in match and required", NOTHING_EXPECTED
            )
        return expectation

    def mapping(self) -> FieldMatching:
        """Return the field matching. The given table is added to the preset's table.

        An operator who does not want a field of the preset sets it to "".
        """
        preset = PRESET_SETTINGS[self.preset]["mapping"]
        given = self.settings["mapping"]
        if not isinstance(given, dict):
            return self.refuse("mapping", "must be a table of fields and claims", ())
        matching: dict[str, tuple[str, ...]] = {}
        wrong = []
        for field, claims in {**preset, **given}.items():
            names = [claims] if isinstance(claims, str) else claims
            if not FIELD.match(str(field)):
                wrong.append(f"{field!r} is not a valid field name: use lower-case letters, digits and _")
            elif not isinstance(names, (list, tuple)) or not all(map(_is_claim, names)):
                wrong.append(f"{field} must have the name of a claim, or a list of names: {NO_CLAIM}")
            elif field == "id" and (foreign := TOKEN_CLAIMS.intersection(name.strip() for name in names)):
                wrong.append(f"id must identify a person, but {_quoted(foreign)} describes the token")
            elif found := tuple(name.strip() for name in names if name.strip()):
                matching[field] = found
        if wrong:
            self.refuse("mapping", "; ".join(wrong), ())
        return tuple(matching.items())

    def refuse(self, name: str, why: str, instead: Value) -> Value:
        self.mistakes.setdefault(name, why)
        return instead


def _is_claim(name: object) -> bool:
    """Tell whether a field matching may contain *name*. An empty name means that the field is unused."""
    return isinstance(name, str) and (not name.strip() or CLAIM.match(name.strip()) is not None)


def _fault_of_domain(text: str) -> str:
    """Return why *text* is not a domain, or ""."""
    if text.startswith("*"):
        return "must be a domain without a wildcard; list each subdomain"
    if not text.isprintable() or len(text) > MAX_DOMAIN_LENGTH or not all(map(LABEL.match, text.split("."))):
        return "is not a domain: enter the part after the @ of an e-mail address"
    return ""


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(repr(name[:100]) for name in sorted(names))
