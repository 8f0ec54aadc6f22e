"""Make tokens signed with a shared secret (HS256), as foreign identity providers send them to a running gateway."""

import hmac
import json
import os
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lab.forging import forge
from shared.clock import time_now


class Named(Protocol):
    """The fields of a person that a token contains."""

    @property
    def email(self) -> str: ...
    @property
    def given_name(self) -> str: ...
    @property
    def family_name(self) -> str: ...
    @property
    def groups(self) -> Sequence[str]: ...


def mint(claims: Mapping[str, Any], key: str, header: Mapping[str, Any] | None = None) -> str:
    """Return *claims* as a signed token."""
    return sign_text(json.dumps(claims), key, header)


def sign_text(payload: str, key: str, header: Mapping[str, Any] | None = None) -> str:
    """Return the JSON text *payload* as a signed token, character for character."""
    head = header or {"typ": "JWT", "alg": "HS256"}
    return forge(head, payload.encode(), lambda message: hmac.digest(key.encode(), message, "sha256"))


def ispring_token(key: str, email: str) -> str:
    """Return a token like that of the published authentication.php: four claims, in the JSON format of PHP.

    Its jti is 32 bytes in standard base64: 44 characters, among them "+", "/" and "=". json_encode puts a backslash
    before each "/".
    """
    now = int(time_now())
    token_id = b64encode(b"\xfb\xff\xff" + os.urandom(29)).decode()  # "+///", so that both characters occur
    claims = {"iat": now, "jti": token_id, "exp": now + 60, "email": email}
    return sign_text(php_json_encode(claims), key, {"typ": "JWT", "alg": "HS256"})


def php_json_encode(value: Any) -> str:
    """Return *value* as PHP's json_encode writes it: no spaces, and every slash escaped."""
    return json.dumps(value, separators=(",", ":")).replace("/", "\\/")


def profile_claims(person: Named, *, issuer: str, audience: str, **more: Any) -> dict[str, Any]:
    """Return the claims that our own identity provider sends for *person*; None in *more* leaves a claim out."""
    now = int(time_now())
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": f"hand-made-{person.email}",
        "iat": now,
        "nbf": now,
        "exp": now + 60,
        "jti": os.urandom(16).hex(),
        "email": person.email,
        "given_name": person.given_name,
        "family_name": person.family_name,
        "groups": list(person.groups),
        **more,
    }
    return {name: value for name, value in claims.items() if value is not None}
