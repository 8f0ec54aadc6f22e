"""Define the sign-in of a product: URLs, rules, and where it sends browsers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

from lab.services.arrival import Arrival, OpenedToken, open_jwt
from lab.services.memory import Attempt, Begun
from lab.services.rule import Rule
from lab.services.verifier import Verifier

Delivery = Literal["query", "form"]


@dataclass
class Settings:
    """The administrator's input at the product: the URLs for sign-in and sign-out, and the people with an account.

    If `people` is empty, every person has an account. Only a product that creates no accounts checks `people`.
    """

    login_url: str = ""
    logout_url: str = ""
    people: Sequence[str] = ()


@dataclass(frozen=True)
class Situation:
    """The facts by which a product decides where a browser goes next."""

    origin: str
    settings: Settings
    verifier: Verifier
    now: float


@dataclass(frozen=True)
class Refusal:
    """The answer to a rejected token: a page that names the broken rule, or a redirect."""

    status: int
    location: str = ""


@dataclass(frozen=True)
class Product:
    """A product, with its rules and with the functions that decide where a browser goes.

    `begin` returns the URL at the identity provider where a sign-in starts. `landing` returns the URL where a sign-in
    ends, and `signed_out` the URL where a person goes after signing out; an empty text means the front page. `refuse`
    answers a rejected token. `open` reads a token, and `is_answer_to` tells whether it answers a certain sign-in.
    """

    name: str
    title: str
    token_path: str
    parameter: str
    deliveries: tuple[Delivery, ...]
    algorithms: tuple[str, ...]
    rules: tuple[Rule, ...]
    begin: Callable[[Situation, Begun], str]
    landing: Callable[[Arrival], str] = lambda _arrival: "/"
    refuse: Callable[[Situation, Attempt], Refusal] = lambda _situation, _attempt: Refusal(401)
    signed_out: Callable[[Situation, Mapping[str, Any]], str] = lambda situation, _claims: situation.settings.logout_url
    open: Callable[[Arrival], OpenedToken] = open_jwt
    is_answer_to: Callable[[Arrival, Begun], bool] = lambda _arrival, _begun: False
    start_path: str = "/login"
    return_parameter: str = "return_to"
    error_path: str = ""
    person: Sequence[str] = field(default=("email", "sub"))

    def rule_named(self, name: str) -> Rule | None:
        """Return the rule of this name."""
        return next((rule for rule in self.rules if rule.name == name), None)

    def name_of(self, claims: Mapping[str, Any]) -> str:
        """Return the person whom the claims name."""
        return next((str(claims[name]) for name in self.person if claims.get(name)), "a person without a name")


def with_query(url: str, **parameters: str) -> str:
    """Return *url* with parameters added to its query."""
    joint = "&" if urlsplit(url).query else "?"
    return f"{url}{joint}{urlencode(parameters, quote_via=quote)}" if parameters else url


def path_here(url: str, origin: str) -> str:
    """Return the path of *url* if it is on this service, otherwise an empty text. Other URLs are never followed."""
    if url.startswith(f"{origin}/"):
        url = url.removeprefix(origin)
    if not (url.isascii() and url.isprintable()) or "\\" in url or " " in url:
        return ""
    return url if url.startswith("/") and not url.startswith("//") else ""
