"""Parse the claims of a token once into known types.

This module validates the JSON types of the registered claims (RFC 7519, section 4.1) and of `nonce`. It also rejects
null, an empty text, and a time that is negative or in milliseconds. It does not verify the values in any other way: the
provider's settings decide which expiry, issuer and so on are valid, so the modules that know the provider verify the
values. Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from shared.errors import ClaimInvalid

# 2286-11-20 in seconds. A larger number is a time in milliseconds (13 digits), or an error.
LATEST_TIME = 9_999_999_999


class Claims(NamedTuple):
    """The claims of a token. Times are seconds since 1970, whole or fractional.

    An absent claim is None, and an absent audience is an empty tuple. `raw` is the whole payload. Field matching uses
    it, and the person may see it.
    """

    raw: Mapping[str, Any]
    issued_at: float | None
    expires_at: float | None
    not_before: float | None
    token_id: str | None
    issuer: str | None
    subject: str | None
    audience: tuple[str, ...]
    nonce: str | None

    @classmethod
    def parse(cls, payload: Mapping[str, Any], *, numeric_token_id: bool = False) -> Claims:
        """Return the claims of *payload*, or raise ClaimInvalid, which names the first invalid claim.

        With *numeric_token_id* the jti may be a whole number, as in old Zendesk samples. The number is converted to
        text.
        """
        return cls(  # positional, in the order above: keyword arguments take a fifth longer
            payload,
            _time(payload, "iat"),
            _time(payload, "exp"),
            _time(payload, "nbf"),
            _token_id(payload, numeric_token_id),
            _text(payload, "iss"),
            _text(payload, "sub"),
            _audience(payload),
            _text(payload, "nonce"),
        )


def _time(payload: Mapping[str, Any], name: str) -> float | None:
    value = payload.get(name)
    if value is None:
        _refuse_null(payload, name)
        return None
    if type(value) is not int and type(value) is not float:
        raise ClaimInvalid(f"{name} must be a number of seconds since 1970, not {_kind(value)}", claim=name)
    if value > LATEST_TIME:
        raise ClaimInvalid(f"{name} is too large for seconds since 1970: it looks like milliseconds", claim=name)
    if not value >= 0:
        raise ClaimInvalid(f"{name} must not be negative", claim=name)
    return value


def _text(payload: Mapping[str, Any], name: str) -> str | None:
    value = payload.get(name)
    if value is None:
        _refuse_null(payload, name)
        return None
    if type(value) is not str:
        raise ClaimInvalid(f"{name} must be text, not {_kind(value)}", claim=name)
    if not value:
        raise ClaimInvalid(f"{name} must not be empty", claim=name)
    return value


def _token_id(payload: Mapping[str, Any], numeric: bool) -> str | None:
    value = payload.get("jti")
    if numeric and type(value) is int:
        return str(value)
    return _text(payload, "jti")


def _audience(payload: Mapping[str, Any]) -> tuple[str, ...]:
    value = payload.get("aud")
    if type(value) is not list:
        single = _text(payload, "aud")
        return () if single is None else (single,)
    if not value or not all(type(item) is str and item for item in value):
        raise ClaimInvalid("aud must be text or a list of texts", claim="aud")
    return tuple(value)


def _refuse_null(payload: Mapping[str, Any], name: str) -> None:
    if name in payload:
        raise ClaimInvalid(f"{name} must not be null", claim=name)


def _kind(value: Any) -> str:
    return {bool: "true or false", str: "text", list: "a list", dict: "an object"}.get(type(value), "a number")


def find_claim(raw: Mapping[str, Any], name: str) -> Any:
    """Return the claim *name*, or None. A dot leads into a nested object: `a.b` is the member `b` of `a`."""
    if name in raw or "." not in name:
        return raw.get(name)
    value: Any = raw
    for step in name.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return None
        value = value[step]
    return value
