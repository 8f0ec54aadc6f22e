"""One attack on the opening of tokens: a good token, changed in one thing, and the code that must come of it."""

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lab.cast import ALICE
from lab.forging import ForgingKey, encode, forge, key_for, part

ISSUER, AUDIENCE = "https://idp.example.com", "https://sp.example.com"
ACCEPTED = "accepted"
AHEAD = 60  # seconds that a good token lives
UNSPEAKABLE = re.compile("[^A-Za-z0-9 .,:'/@=+_-]")


@dataclass(frozen=True)
class Good:
    """A valid token for one provider, and the means to change one thing in it.

    `listener` is a URL of Mallory's, which the gateway must never fetch.
    """

    key: ForgingKey
    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    now: int
    listener: str

    def token(
        self,
        header: Mapping[str, Any] | bytes | None = None,
        claims: Mapping[str, Any] | bytes | None = None,
        sign: Callable[[bytes], bytes] | bytes | None = None,
    ) -> str:
        """Return the token, with what is given in place of the good part."""
        return forge(
            self.header if header is None else header,
            self.claims if claims is None else claims,
            self.key.sign if sign is None else sign,
        )

    @property
    def payload(self) -> str:
        """The claims as JSON."""
        return json.dumps(self.claims)


Change = Callable[[Good], str]


@dataclass(frozen=True)
class Case:
    """What is changed, the code with which it is refused (or ACCEPTED), and how; `provider` is one of PROVIDERS."""

    what: str
    code: str
    change: Change
    provider: str = "hs256"

    def __str__(self) -> str:
        """The test's name: plain letters, so that tools can select it, whatever the attack contains."""
        plain = self.what.encode("ascii", "namereplace").decode()
        return f"{self.provider}: {UNSPEAKABLE.sub('~', plain)}"


def among(provider: str, *cases: Case) -> tuple[Case, ...]:
    """Return *cases* as cases of *provider*."""
    return tuple(replace(case, provider=provider) for case in cases)


def good(provider: str, now: int, listener: str = "http://127.0.0.1:9") -> Good:
    """Return a valid token of *provider*, with a new jti."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "iat": now,
        "nbf": now,
        "exp": now + AHEAD,
        "jti": secrets.token_hex(16),
        "nonce": "n-1",
        "email": ALICE.email,
        "given_name": ALICE.given_name,
        "family_name": ALICE.family_name,
        "groups": ["staff"],
    }
    if provider == "zendesk":
        wanted = ("iat", "jti", "email")
        claims = {name: claims[name] for name in wanted} | {"name": ALICE.name}
    elif provider != "strict":
        del claims["nonce"]  # it would have to be one that the browser was given
    key = FORGING_KEYS[provider]
    named = {"kid": "key-1"} if provider in ("named", "strict") else {}
    return Good(key, {"typ": "JWT", "alg": key.algorithm} | named, claims, now, listener)


# --- Ways to change one thing ---


def header(**members: Any) -> Change:
    """Set members of the header."""
    return lambda it: it.token(header={**it.header, **members})


def header_without(name: str) -> Change:
    """Leave a member of the header out."""
    return lambda it: it.token(header={n: v for n, v in it.header.items() if n != name})


def header_text(make: Callable[[str], str | bytes]) -> Change:
    """Write the JSON of the header in another way; the signature fits it."""
    return lambda it: it.token(header=_octets(make(json.dumps(it.header))))


def payload_text(make: Callable[[str], str | bytes]) -> Change:
    """Write the JSON of the payload in another way; the signature fits it."""
    return lambda it: it.token(claims=_octets(make(it.payload)))


def header_and(member: str) -> Change:
    """Add a member to the header, as JSON."""
    return header_text(lambda text: f"{text[:-1]},{member}}}")


def claims_and(member: str) -> Change:
    """Add a claim, as JSON."""
    return payload_text(lambda text: f"{text[:-1]},{member}}}")


def claim(name: str, value: Any) -> Change:
    """Set a claim."""
    return lambda it: it.token(claims={**it.claims, name: value})


def edited(name: str, make: Callable[[Any], Any]) -> Change:
    """Make another value of a claim's good one."""
    return lambda it: it.token(claims={**it.claims, name: make(it.claims[name])})


def later(name: str, seconds: float) -> Change:
    """Set a claim to a time so many seconds from now."""
    return lambda it: it.token(claims={**it.claims, name: it.now + seconds})


def claims_later(**seconds: float) -> Change:
    """Set several claims to times so many seconds from now."""
    return lambda it: it.token(claims={**it.claims, **{name: it.now + by for name, by in seconds.items()}})


def without(*names: str) -> Change:
    """Leave claims out."""
    return lambda it: it.token(claims={n: v for n, v in it.claims.items() if n not in names})


def renamed(name: str, other: str) -> Change:
    """Send a claim under another name."""
    return lambda it: it.token(claims={other if n == name else n: v for n, v in it.claims.items()})


def text(make: Callable[[str], str]) -> Change:
    """Change the text of the finished token."""
    return lambda it: make(it.token())


def pieces(make: Callable[[str, str, str], str]) -> Change:
    """Put the three parts of the finished token together in another way."""

    def change(it: Good) -> str:
        first, second, third = it.token().split(".")
        return make(first, second, third)

    return change


def signature(make: Callable[[bytes], bytes]) -> Change:
    """Change the bytes of the signature."""

    def change(it: Good) -> str:
        signing_input = f"{part(it.header)}.{part(it.claims)}"
        return f"{signing_input}.{encode(make(it.key.sign(signing_input.encode())))}"

    return change


def signed_by(sign: Callable[[Good], Callable[[bytes], bytes]], **members: Any) -> Change:
    """Sign in another way, with the header changed to match."""
    return lambda it: it.token(header={**it.header, **members}, sign=sign(it))


def each_value(name: str, code: str, *values: Any) -> tuple[Case, ...]:
    """Return a case for each value of a claim."""
    texts = [json.dumps(value) for value in values]
    shown = [text if len(text) < 50 else f"{text[:40]}... of {len(text)} characters" for text in texts]
    return tuple(Case(f"{name} is {what}", code, claim(name, v)) for what, v in zip(shown, values, strict=True))


def _octets(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


# --- The providers that the cases are for ---

_COMMON: dict[str, Any] = {
    "preset": "ispring",
    "issuer": {"expected": ISSUER, "match": True, "required": True},
    "audience": {"expected": AUDIENCE, "match": True, "required": True},
    "mapping": {"id": ["sub", "email"]},
    "deliveries": ["query", "form", "header"],
    "unsolicited": "accept",
}
FORGING_KEYS = {name.lower(): key_for(name) for name in ("HS256", "HS384", "HS512", "RS256", "RS384", "RS512")}
FORGING_KEYS |= {name.lower(): key_for(name) for name in ("ES256", "ES384", "ES512")}
FORGING_KEYS |= {"named": key_for("ES256"), "strict": key_for("ES256"), "zendesk": key_for("HS256")}
SECOND_KEY = key_for("ES256", "idp, newer")
_JWKS = [json.dumps(key.jwk(kid=kid)) for key, kid in ((FORGING_KEYS["named"], "key-1"), (SECOND_KEY, "key-2"))]
PROVIDERS: dict[str, dict[str, Any]] = {
    name: _COMMON | {"algorithm": key.algorithm, "keys": [key.material]} for name, key in FORGING_KEYS.items()
}
PROVIDERS["named"] |= {"keys": _JWKS}
PROVIDERS["strict"] |= {"keys": _JWKS, "preset": "strict", "mapping": {"email": ["mail", "email"]}}
PROVIDERS["zendesk"] = {"preset": "zendesk", "keys": [key_for("HS256").secret], "unsolicited": "accept"}
