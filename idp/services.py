"""Define the services that people sign in to. To store services elsewhere, replace `ServiceRegistry`.

A service must be registered before people can sign in to it. A token is sent only to the registered `return_url`, and a
request cannot change this URL. Services are registered in a services file (services_file.py).

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol
from urllib.parse import urlsplit

from idp.people import Person
from shared.keys import SYMMETRIC, KeyRefused, KeySet, TokenKey
from shared.settings import is_loopback


class ServiceUnknown(LookupError):
    """No service of this name is registered."""


@dataclass(frozen=True)
class ServiceKey:
    """A key of a service.

    It may sign from `signs_from` on. It is accepted until `accepted_until`, or for ever if that is None.
    """

    key: TokenKey
    signs_from: datetime
    accepted_until: datetime | None = None


@dataclass(frozen=True)
class Service:
    """A registered service: the fields of the services file, and its keys, newest first."""

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
    signed_query: bool = False  # DiscourseConnect: a signed query string in place of a JWT (discourse.py)
    home_url: str = ""  # target of "back to the service"; default: front page of return_url's site
    leads_on_to: tuple[str, ...] = ()  # origins to which the service redirects at once: see allowed_targets
    untyped_logout: bool = False  # for iSpring Learn: accept sign-out requests without a type, unless we signed them
    logout_algorithm: str = ""  # RS and ES: how the service signs its sign-out requests
    logout_keys: tuple[str, ...] = ()  # RS and ES: its keys for that: public keys, or secrets for an HS algorithm
    allow_short_secret: bool = False  # for a product whose secrets are shorter than the hash
    keys: tuple[ServiceKey, ...] = field(default=(), repr=False)

    @property
    def title(self) -> str:
        """Return the name that people see."""
        return self.display_name or self.name

    @property
    def initials(self) -> str:
        """Return one or two letters for the service's tile."""
        words = [word for word in self.title.split() if word[0].isalnum()] or [self.name]
        return "".join(word[0] for word in words[:2])

    @property
    def origin(self) -> str:
        """Return scheme://host[:port] of the return URL."""
        parts = urlsplit(self.return_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def home(self) -> str:
        """Return the URL of the service's front page."""
        return self.home_url or f"{self.origin}/"

    @property
    def allowed_targets(self) -> tuple[str, ...]:
        """Return the origins that a form may lead to.

        Browsers apply `form-action` (Content-Security-Policy) to every redirect after a form, also to redirects by the
        service.
        """
        return (self.origin, *self.leads_on_to)

    def admits(self, person: Person) -> bool:
        """Tell whether *person* may use the service. If it names no groups, everyone may."""
        return not self.groups or not set(self.groups).isdisjoint(person.groups)

    def signing_key(self, now: datetime) -> TokenKey:
        """Return the newest key that may sign at *now*."""
        for entry in self.keys:
            if entry.signs_from <= now:
                return entry.key
        raise KeyRefused(f"the service {self.name} does not have a key that may sign yet")

    def live_keys(self, now: datetime) -> KeySet:
        """Return the keys that are published and accepted, including keys that will sign only later."""
        return KeySet(tuple(k.key for k in self.keys if k.accepted_until is None or k.accepted_until > now))


class ServiceRegistry(Protocol):
    """Stores services. Each service that it returns is complete and valid, with its keys, newest first."""

    def find(self, name: str) -> Service:
        """Return the service, or raise ServiceUnknown."""

    def all(self) -> Sequence[Service]:
        """Return every service, ordered by name."""


def with_keys(service: Service, keys: Sequence[ServiceKey]) -> Service:
    """Return *service* with its *keys*, newest first."""
    return replace(service, keys=tuple(keys))


def warnings_about(services: Sequence[Service]) -> list[str]:
    """Return one warning for each setting that is allowed but risky."""
    lines = []
    for service in services:
        parts = urlsplit(service.return_url)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            lines.append(f"{service.name}: tokens are sent to {service.origin} without encryption: use https")
        if service.allow_short_secret:
            lines.append(f"{service.name}: a secret shorter than the hash can be guessed by anyone who sees one token")
    holders: dict[str, str] = {}
    for service in services:
        for entry in service.keys if service.algorithm in SYMMETRIC else ():
            other = holders.setdefault(entry.key.fingerprint, service.name)
            if other != service.name:
                lines.append(f"{service.name} and {other} share a secret: each can sign people in to the other")
    return lines
