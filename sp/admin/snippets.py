"""Write a site's sign-in page in PHP, Python, Node and Ruby, with the values of one provider filled in.

An integrator copies one of these pages, and replaces the example person by the person who is signed in to the site.
Each page also runs unchanged. It redirects with a token to the Return URL, or shows the form that sends a token. It
reads the key from the environment, so the code can be shown at any time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from flask import render_template

from shared.keys import SYMMETRIC
from sp.providers.provider import Provider

MADE_BY_THE_CODE = ("iat", "exp", "jti", "nbf", "nonce")
LIFETIME = 60  # seconds
SIGNATURE_BYTES = {"ES256": 32, "ES384": 48, "ES512": 66}  # of r and of s: RFC 7518, section 3.4
EXAMPLE = {"email": "alice@example.com", "given_name": "Alice", "family_name": "Example", "name": "Alice Example"}
EXAMPLE_ID = "person-17"
EXAMPLE_PATH = "/login-token/"  # while no Identity provider URL is set
FIXED = ("iss", "aud")  # claims that are the same for everyone
PYJWT = " 'pyjwt[crypto]'"
EXAMPLE_ISSUER = "https://identity-provider.example.com"  # while no Identity provider URL is set

Person = dict[str, Any]


@dataclass(frozen=True)
class Snippet:
    """A program in *language*, and the packages that it needs, if any."""

    language: str
    code: str
    needs: str = ""


def snippets(provider: Provider, return_url: str) -> list[Snippet]:
    """Return the sign-in page in each language, which sends its tokens to *return_url*."""
    values = values_of(provider, "", return_url)
    person = values["person"]
    values |= {
        "fixed": {name: person.pop(name) for name in FIXED if name in person},
        "groups": next((claims[0] for field, claims in provider.mapping if field == "groups"), ""),
        "path": urlsplit(provider.login_url).path or EXAMPLE_PATH,
        "key_file": key_file_name(provider),
        "needs": f"pip install flask{'' if values['family'] == 'HS' else PYJWT}",
    }
    return [
        Snippet("PHP", render("php", values)),
        Snippet("Python", render("python", values), values["needs"]),
        Snippet("Node", render("node", values)),
        Snippet("Ruby", render("ruby", values)),
    ]


def values_of(provider: Provider, key: str, return_url: str) -> dict[str, Any]:
    """Return the values that are filled into the templates of the programs."""
    return {
        "algorithm": provider.algorithm,
        "family": provider.algorithm[:2],
        "bits": provider.algorithm[2:],
        "half": SIGNATURE_BYTES.get(provider.algorithm),
        "lifetime": min(LIFETIME, provider.max_age),
        "not_before": "nbf" in provider.required_claims,
        "by_url": "query" in provider.deliveries,
        "key": key,
        "return_url": return_url,
        "parameter": provider.token_parameter,
        "person": example_person(provider, return_url),
    }


def python_needs(provider: Provider) -> str:
    """Return what must be installed for the Python code, if anything."""
    return "" if provider.algorithm.startswith("HS") else f"pip install{PYJWT}"


def key_file_name(provider: Provider) -> str:
    """Return the name of the file in which the key is downloaded."""
    return f"{provider.name}-key.{'txt' if provider.algorithm in SYMMETRIC else 'pem'}"


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return the program of a *template*, whose name begins with its language."""
    return render_template(f"sp/snippets/{template}.txt", **values, literal=LITERALS[template.partition("_")[0]])


def example_person(provider: Provider, return_url: str) -> Person:
    """Return the claims of an example person: those for the provider's fields, and every other mandatory claim.

    If no setting names the issuer or the audience, that claim is the URL of the provider's site or of the gateway.
    """
    person: Person = {}
    for field, claims in provider.mapping:
        if field in EXAMPLE or field == "id":
            value = EXAMPLE["email"] if claims[0] in provider.mapped_email else EXAMPLE.get(field, EXAMPLE_ID)
            _put(person, claims[0], value)
    issuer = _origin(provider.login_url) or EXAMPLE_ISSUER
    for name, expectation, usual in (("iss", provider.issuer, issuer), ("aud", provider.audience, _origin(return_url))):
        if expectation.expected or expectation.required or name in provider.required_claims:
            person[name] = expectation.expected or usual
    for claim in provider.required_claims:
        if claim not in MADE_BY_THE_CODE:
            person.setdefault(claim, EXAMPLE.get(claim, EXAMPLE_ID))
    return person


def _origin(url: str) -> str:
    """Return scheme://host[:port] of *url*; empty if it has none."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def _put(person: Person, claim: str, value: str) -> None:
    """Set a claim. A dot in its name leads into a nested object, as in the field matching."""
    *outer, last = claim.split(".")
    for name in outer:
        inner = person.setdefault(name, {})
        if not isinstance(inner, dict):
            return
        person = inner
    person[last] = value


def _in_php(value: Any) -> str:
    if isinstance(value, dict):
        return "[" + ", ".join(f"{_quoted(name)} => {_in_php(inner)}" for name, inner in value.items()) + "]"
    return _quoted(value)


def _in_ruby(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(name)} => {_in_ruby(inner)}" for name, inner in value.items()) + "}"
    return _quoted(value)


def _quoted(text: str) -> str:
    """Return *text* in single quotes, in which PHP and Ruby interpolate nothing."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


LITERALS: dict[str, Callable[[Any], str]] = {
    "php": _in_php,
    "python": json.dumps,
    "node": json.dumps,
    "ruby": _in_ruby,
}
