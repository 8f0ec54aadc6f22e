"""Verify a token: a list of named checks, in order of trust.

The signature comes first, and nothing of the token is believed before it. Each check after it is a function of the
claims, the provider's settings and the clock, and raises the Rejection that says why not. The same list runs to the
first failure at a sign-in, and to the end in the inspector. Nothing here spends the token or looks anyone up.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.claims import NAMES, Claims
from shared.errors import (
    AudienceMismatch,
    ClaimInvalid,
    ClaimMissing,
    IssuerMismatch,
    NonceMismatch,
    TokenExpired,
    TokenNotYetValid,
    TokenTooOld,
    TokenTypeWrong,
)
from shared.keys import KeySet, TokenKey
from shared.tokens import SIGN_IN_TYPE, open_signed
from sp.providers import Provider

FOREIGN_CLAIMS = ("events", "scope", "client_id", "purpose")  # marks of logout, access and other tokens, RFC 8725 3.11
STRICT_HEADER = {"alg", "typ", "kid"}
MAX_TOKEN_ID_LENGTH = 512
_NAMES_ON_THE_WIRE = {wire: name for name, wire in NAMES.items()}


@dataclass(frozen=True, slots=True)
class Verified:
    """The claims of a token that passed every check, and the key that signed it."""

    claims: Claims
    key: TokenKey


@dataclass(frozen=True, slots=True)
class Case:
    """What a check may look at."""

    header: Mapping[str, Any]
    claims: Claims
    provider: Provider
    key: TokenKey
    now: float


def verify(unverified_token: str, provider: Provider, keys: KeySet, now: float) -> Verified:
    """Return the claims of *unverified_token*, or raise the Rejection that says why not.

    *now* is in seconds since 1970. Spends nothing: the caller spends the jti, last, so that a refused token stays
    unspent. Nonces and whether the browser asked are the caller's, for they concern a browser and not a token.
    """
    opened = open_signed(unverified_token, keys, provider.algorithm)  # believe nothing before this line
    claims = Claims.parse(opened.payload, numeric_token_id=provider.numeric_token_id)
    case = Case(opened.header, claims, provider, opened.key, now)
    for check in CHECKS:
        check(case)
    return Verified(claims, opened.key)


def acceptable_until(claims: Claims, provider: Provider) -> int:
    """Return the second after which *claims* are refused in any case: so long must the token be remembered."""
    ends = []
    if claims.issued_at is not None:
        ends.append(claims.issued_at + provider.max_age)
    if claims.expires_at is not None:
        ends.append(claims.expires_at + provider.expiry_adjustment)
    return int(min(ends)) + provider.clock_skew + 1


def check_type(case: Case) -> None:
    """A sign-in token has typ JWT or none, and no `events` (RFC 8725, section 3.11; Back-Channel Logout 1.0, 2.4)."""
    typ = case.header.get("typ", SIGN_IN_TYPE)
    if typ.upper() != SIGN_IN_TYPE:
        raise TokenTypeWrong(f"the token has the type {typ[:40]}, a sign-in token has the type JWT or none")
    if "events" in case.claims.raw:
        raise TokenTypeWrong("the token has the claim events: it is a sign-out token")


def check_required(case: Case) -> None:
    """Every claim that the provider must send is there, and jti always: without it a token could be used twice."""
    for name in ("jti", *case.provider.required_claims):
        if name == "nonce":
            continue  # a browser's affair: check_nonce
        if _is_absent(case.claims, name):
            raise ClaimMissing(f"the claim {name} is required and missing{_hint(case.claims.raw, name)}", claim=name)


def check_token_id(case: Case) -> None:
    """The jti is short enough to be remembered."""
    if len(case.claims.token_id or "") > MAX_TOKEN_ID_LENGTH:
        raise ClaimInvalid(f"jti is longer than {MAX_TOKEN_ID_LENGTH} characters", claim="jti")


def check_issuer(case: Case) -> None:
    """iss is there if required, and as expected if it is to match (RFC 7519, section 4.1.1)."""
    wanted, issuer = case.provider.issuer, case.claims.issuer
    if issuer is None and wanted.required:
        raise ClaimMissing("the claim iss is required and missing", claim="iss")
    if issuer is not None and wanted.match and wanted.expected and issuer != wanted.expected:
        raise IssuerMismatch(f"iss is {issuer[:100]}, expected is {wanted.expected}")


def check_audience(case: Case) -> None:
    """aud is there if required, and contains the expected value if it is to match (RFC 7519, section 4.1.3)."""
    wanted, audience = case.provider.audience, case.claims.audience
    if not audience and wanted.required:
        raise ClaimMissing("the claim aud is required and missing", claim="aud")
    if audience and wanted.match and wanted.expected and wanted.expected not in audience:
        raise AudienceMismatch(f"aud is {' '.join(audience)[:100]}, expected is {wanted.expected}")


def check_not_before(case: Case) -> None:
    """Neither nbf nor iat lies in the future, beyond the clock skew (RFC 7519, sections 4.1.5 and 4.1.6)."""
    for name, moment in (("nbf", case.claims.not_before), ("iat", case.claims.issued_at)):
        if moment is not None and moment > case.now + case.provider.clock_skew:
            raise TokenNotYetValid(f"{name} is {moment - case.now:.0f} seconds in the future: the clocks differ")


def check_expiry(case: Case) -> None:
    """exp, adjusted, lies in the future, give or take the clock skew (RFC 7519, section 4.1.4)."""
    expires_at, issued_at = case.claims.expires_at, case.claims.issued_at
    if expires_at is None:
        return
    if issued_at is not None and expires_at < issued_at:
        raise ClaimInvalid("exp lies before iat", claim="exp")
    overdue = case.now - expires_at - case.provider.expiry_adjustment - case.provider.clock_skew
    if overdue >= 0:
        raise TokenExpired(f"the token expired {case.now - expires_at:.0f} seconds ago, by this server's clock")


def check_age(case: Case) -> None:
    """iat is not longer ago than the provider allows; this bounds a token without exp."""
    issued_at = case.claims.issued_at
    if issued_at is not None and case.now - issued_at > case.provider.max_age + case.provider.clock_skew:
        age = case.now - issued_at
        raise TokenTooOld(f"the token was issued {age:.0f} seconds ago, at most {case.provider.max_age} are allowed")


def check_strict_header(case: Case) -> None:
    """Strict: the header has alg, typ and kid only, and a kid where the key has one."""
    if not case.provider.strict:
        return
    if surplus := sorted(set(case.header) - STRICT_HEADER):
        raise TokenTypeWrong(f"the header has members beyond alg, typ and kid: {', '.join(surplus)[:100]}")
    if case.key.kid is not None and case.header.get("kid") != case.key.kid:
        raise TokenTypeWrong("the header names no kid, though the key has one")


def check_strict_lifetime(case: Case) -> None:
    """Strict: the token is not made to live longer than max_age."""
    issued_at, expires_at = case.claims.issued_at, case.claims.expires_at
    if case.provider.strict and issued_at is not None and expires_at is not None:
        if expires_at - issued_at > case.provider.max_age:
            raise ClaimInvalid(f"exp lies more than {case.provider.max_age} seconds after iat", claim="exp")


def check_strict_foreign(case: Case) -> None:
    """Strict: no claim of another kind of token (RFC 8725, section 3.12), and no azp of another party."""
    if not case.provider.strict:
        return
    for name in FOREIGN_CLAIMS:
        if name in case.claims.raw:
            raise TokenTypeWrong(f"the claim {name} belongs to another kind of token")
    azp = case.claims.raw.get("azp")
    if azp is not None and azp not in case.claims.audience:
        raise TokenTypeWrong("azp names another party than the audience")


def check_strict_email(case: Case) -> None:
    """Strict: an e-mail address is plain ASCII with one @ and a dotted domain, and not known to be unverified."""
    if not case.provider.strict:
        return
    email = case.claims.raw.get("email")
    if email is not None and not is_plain_email(email):
        raise ClaimInvalid("email must be one plain ASCII address with a dotted domain", claim="email")
    if case.claims.raw.get("email_verified", True) is not True:
        raise ClaimInvalid("email_verified is not true", claim="email_verified")


def check_strict_text(case: Case) -> None:
    """Strict: mapped text has no control and no format characters: they make one name look like another."""
    if not case.provider.strict:
        return
    for _field, names in case.provider.mapping:
        for name in names:
            for text in _texts(find_claim(case.claims.raw, name)):
                if any(unicodedata.category(character) in ("Cc", "Cf") for character in text):
                    raise ClaimInvalid(f"{name} has control or format characters", claim=name)


CHECKS: tuple[Callable[[Case], None], ...] = (
    check_type,
    check_strict_header,
    check_strict_foreign,
    check_required,
    check_token_id,
    check_issuer,
    check_audience,
    check_not_before,
    check_expiry,
    check_age,
    check_strict_lifetime,
    check_strict_email,
    check_strict_text,
)


def check_nonce(claims: Claims, provider: Provider, expected: frozenset[str]) -> None:
    """The nonce is one that this browser was given; where it is required, it is there (OpenID Connect Core, 3.1.3.7)."""
    if claims.nonce is None:
        if provider.require_nonce or "nonce" in provider.required_claims:
            raise NonceMismatch("the claim nonce is required and missing", claim="nonce")
    elif claims.nonce not in expected:
        raise NonceMismatch("the nonce belongs to no sign-in that this browser has begun", claim="nonce")


def is_plain_email(value: Any) -> bool:
    """Tell whether *value* is an ASCII address of at most 254 characters with one @ and a dotted domain."""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or len(value) > 254:
        return False
    local, _at, domain = value.partition("@")
    labels = domain.split(".")
    return (
        bool(local) and " " not in value and len(labels) > 1 and all(labels) and "@" not in domain
    )  # fmt: skip


def find_claim(raw: Mapping[str, Any], name: str) -> Any:
    """Return the claim *name*, which may reach inside objects by dots, or None."""
    if name in raw:
        return raw[name]
    value: Any = raw
    for step in name.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return None
        value = value[step]
    return value


def _is_absent(claims: Claims, name: str) -> bool:
    attribute = _NAMES_ON_THE_WIRE.get(name)
    if attribute is not None and hasattr(claims, attribute):
        return getattr(claims, attribute) in (None, ())
    return find_claim(claims.raw, name) in (None, "")


def _hint(raw: Mapping[str, Any], name: str) -> str:
    """Name the near miss: published samples write IAT and JTI, and an exp with a Cyrillic letter."""
    for other in raw:
        if other.lower() == name:
            return "; it came as " + other + ", but the names of claims are in small letters"
    return ""


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
