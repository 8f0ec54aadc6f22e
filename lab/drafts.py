"""Describe a valid token before it is signed. A fault then changes one part of it.

The claims are those that common products read: they identify the person, and limit the time. Claims can be added,
replaced or left out.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lab.forging import ForgingKey, encode, forge, part
from shared.clock import time_now

LIFETIME = 60  # seconds from iat to exp
TOKEN_ID_BYTES = 16
PERSON = "alice@example.org"
Changed = Mapping[str, Any] | bytes
Signing = Callable[[bytes], bytes] | bytes


@dataclass(frozen=True)
class Draft:
    """A valid token: its claims, header and key. `now` is the time at which it is made, in seconds since 1970."""

    key: ForgingKey
    claims: Mapping[str, Any]
    header: Mapping[str, Any]
    now: int = field(default_factory=lambda: int(time_now()))

    def token(
        self, *, claims: Changed | None = None, header: Changed | None = None, sign: Signing | None = None
    ) -> str:
        """Return the signed token. Each argument replaces one part of the valid token. Bytes are used unchanged."""
        return forge(
            self.header if header is None else header,
            self.claims if claims is None else claims,
            self.key.sign if sign is None else sign,
        )

    def with_claims(self, **claims: Any) -> str:
        """Return the token with some claims set."""
        return self.token(claims={**self.claims, **claims})

    def without(self, *names: str) -> str:
        """Return the token without some claims."""
        return self.token(claims={name: value for name, value in self.claims.items() if name not in names})

    def with_header(self, sign: Signing | None = None, **members: Any) -> str:
        """Return the token with some members of the header set."""
        return self.token(header={**self.header, **members}, sign=sign)

    def with_payload(self, make: Callable[[str], str | bytes]) -> str:
        """Return the token with the JSON of its claims written in another way, and a matching signature."""
        made = make(json.dumps(self.claims))
        return self.token(claims=made if isinstance(made, bytes) else made.encode())

    def with_signature(self, make: Callable[[bytes], bytes]) -> str:
        """Return the token with the bytes of its signature changed."""
        signing_input = f"{part(self.header)}.{part(self.claims)}"
        return f"{signing_input}.{encode(make(self.key.sign(signing_input.encode())))}"

    def renewed(self) -> Draft:
        """Return a copy with a new jti, as an identity provider makes for each sign-in."""
        claims = {**self.claims, "jti": _new_token_id()} if "jti" in self.claims else self.claims
        return replace(self, claims=claims)


def draft(
    key: ForgingKey,
    claims: Mapping[str, Any] | None = None,
    *,
    without: tuple[str, ...] = (),
    email: str = PERSON,
    now: float | None = None,
) -> Draft:
    """Return a valid token for *email*, signed with *key*.

    *claims* replace the usual claims. Then the claims whose names are in *without* are removed.
    """
    moment = int(time_now() if now is None else now)
    name = email.partition("@")[0]
    ours = {
        "iat": moment,
        "nbf": moment,
        "exp": moment + LIFETIME,
        "jti": _new_token_id(),
        "sub": email,
        "email": email,
        "given_name": name.capitalize(),
        "family_name": "Example",
        "name": f"{name.capitalize()} Example",
    }
    together = {name: value for name, value in {**ours, **(claims or {})}.items() if name not in without}
    header = {"typ": "JWT", "alg": key.algorithm} | ({"kid": key.kid} if key.kid else {})
    return Draft(key, together, header, moment)


def _new_token_id() -> str:
    return secrets.token_urlsafe(TOKEN_ID_BYTES)
