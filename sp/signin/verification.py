"""Verify a token: a list of named checks, in order of trust.

The signature comes first, and nothing in the token is trusted before it is verified. Each later check is a function of
the claims, the provider's settings and the clock, and raises a Rejection that names the error. A sign-in stops at the
first failed check; the inspector runs all of them. Nothing here spends the token or looks up an account.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from shared.claims import Claims, find_claim
from shared.errors import (
    AudienceMismatch,
    ClaimInvalid,
    ClaimMissing,
    IssuerMismatch,
    NonceMismatch,
    TokenExpired,
    TokenMalformed,
    TokenNotYetValid,
    TokenTooOld,
    TokenTypeWrong,
)
from shared.keys import KeySet, TokenKey
from shared.look_alikes import looks_like
from shared.tokens import SIGN_IN_TYPE, open_signed
from sp.providers.provider import Provider

FOREIGN_CLAIMS = ("scope", "client_id", "purpose")  # claims of access tokens and other tokens, RFC 8725 3.11
STRICT_HEADER = {"alg", "typ", "kid"}
MOST_NAMES = 40  # names of claims to compare with a missing claim: strangers may send any number
MAX_TOKEN_ID_LENGTH = 512  # characters
REMEMBERED_LONGER = 300  # seconds by which the clocks of gateways, database and Redis may differ
MAX_EMAIL_LENGTH = 254  # characters: RFC 5321, section 4.5.3.1.3, without the angle brackets
_NOTHING = (None, "")
_INVISIBLE = ("Cc", "Cf", "Zl", "Zp")  # Unicode categories: controls, formats, line and paragraph separators
_PLAIN_EMAIL = re.compile(r"[!-?A-~]+@[!-\-/-?A-~]+(?:\.[!-\-/-?A-~]+)+\Z")


class Received(NamedTuple):
    """The size in bytes of a token that came with this request, and its header.

    `timed` has the beginning and end of its verification in monotonic nanoseconds, if measured.
    """

    size: int
    header: Mapping[str, Any]
    timed: tuple[int, int] | None = None


class Verified(NamedTuple):
    """The claims of a token that passed every check, the key that signed it, and the key under which it is spent.

    `checked_at` is the time of the checks, in seconds since 1970. `received` is None if the token came with an earlier
    request and only its claims were kept.
    """

    claims: Claims
    key: TokenKey
    token_key: bytes
    checked_at: float
    received: Received | None = None

    @classmethod
    def of(
        cls, claims: Claims, key: TokenKey, provider: Provider, checked_at: float, received: Received | None = None
    ) -> Verified:
        """Return the claims as verified. The caller must have run every check, now or when the token first arrived."""
        return cls(claims, key, token_key(provider.name, claims.token_id or ""), checked_at, received)

    @property
    def checked_earlier(self) -> int | None:
        """The time of the checks, in whole seconds since 1970, or None if this request did them."""
        return None if self.received else int(self.checked_at)

    @property
    def header(self) -> Mapping[str, Any] | None:
        """The token's header, or None if it was not kept."""
        return self.received.header if self.received else None

    def timed(self, began: int, ended: int) -> Verified:
        """Return a copy with the times of the verification."""
        return self._replace(received=self.received and self.received._replace(timed=(began, ended)))


class Case(NamedTuple):
    """The data that a check may use."""

    header: Mapping[str, Any]
    claims: Claims
    provider: Provider
    key: TokenKey
    now: float


def verify(unverified_token: str, provider: Provider, keys: KeySet, now: float) -> Verified:
    """Return the claims of *unverified_token*, or raise a Rejection that gives the reason.

    *now* is in seconds since 1970. Spends nothing. The caller then checks the nonce, and whether the browser asked for
    a token (`sp.signin.binding`). After that it spends the jti, before it looks at the account; a rejection there makes
    the token unspent again (`sp.signin.transaction`).
    """
    opened = open_signed(unverified_token, keys, provider.algorithm)  # trust nothing before this line
    claims = Claims.parse(opened.payload, numeric_token_id=provider.numeric_token_id)
    case = Case(opened.header, claims, provider, opened.key, now)
    for check in checks_of(provider):
        check(case)
    return Verified.of(claims, opened.key, provider, now, Received(len(unverified_token), opened.header))


def token_key(provider: str, token_id: str) -> bytes:
    """Return the 16 bytes under which a token is spent: a hash of provider and jti, never of the token's text.

    Padding and the second valid form of an ECDSA signature change the text of a token, but not its jti.
    """
    return hashlib.sha256(f"{provider}\0{token_id}".encode("utf-8", "surrogatepass")).digest()[:16]


def acceptable_until(claims: Claims, provider: Provider) -> int:
    """Return the time, in seconds since 1970, until which a spent token must be remembered. Later it has expired.

    This uses the present settings. If an administrator raises clock_skew, max_age or expiry_adjustment, tokens that
    expired more than REMEMBERED_LONGER ago may become valid again, although the record that they were spent is deleted.
    """
    ends = []
    if claims.issued_at is not None:
        ends.append(claims.issued_at + provider.max_age)
    if claims.expires_at is not None:
        ends.append(claims.expires_at + provider.expiry_adjustment)
    return int(min(ends)) + provider.clock_skew + 1 + REMEMBERED_LONGER


def check_type(case: Case) -> None:
    """The typ is JWT or missing, and there is no `events` claim (RFC 8725, 3.11; Back-Channel Logout 1.0, 2.4)."""
    typ = case.header.get("typ", SIGN_IN_TYPE)
    if typ.upper() != SIGN_IN_TYPE:
        raise TokenTypeWrong(f"the token has the type {typ[:40]}, but a sign-in token has the type JWT or none")
    if "events" in case.claims.raw:
        raise TokenTypeWrong("the token has the claim events: it is a sign-out token")


def check_required(case: Case) -> None:
    """Every required claim is present."""
    raw = case.claims.raw
    for name in case.provider.required_claims:
        if raw.get(name):
            continue  # nearly always; what follows takes longer
        if raw.get(name) in _NOTHING and find_claim(raw, name) in _NOTHING and name != "nonce":  # see check_nonce
            raise ClaimMissing(f"the claim {name} is required and missing{_hint(raw, name)}", claim=name)


def check_token_id(case: Case) -> None:
    """The jti is present, which is always required, and is not too long."""
    token_id = case.claims.token_id
    if token_id is None:
        raise ClaimMissing("without a jti the token could be used twice", claim="jti")
    if len(token_id) > MAX_TOKEN_ID_LENGTH:
        raise ClaimInvalid(f"jti is longer than {MAX_TOKEN_ID_LENGTH} characters", claim="jti")


def check_issuer(case: Case) -> None:
    """The iss is present if required, and has the expected value if it must match (RFC 7519, section 4.1.1)."""
    wanted, issuer = case.provider.issuer, case.claims.issuer
    if issuer is None and wanted.required:
        raise ClaimMissing("the claim iss is required and missing", claim="iss")
    if issuer is not None and wanted.match and wanted.expected and issuer != wanted.expected:
        raise IssuerMismatch(f"iss is {issuer[:100]}, expected: {wanted.expected}")


def check_audience(case: Case) -> None:
    """The aud is present if required, and contains the expected value if it must match (RFC 7519, section 4.1.3)."""
    wanted, audience = case.provider.audience, case.claims.audience
    if not audience and wanted.required:
        raise ClaimMissing("the claim aud is required and missing", claim="aud")
    if audience and wanted.match and wanted.expected and wanted.expected not in audience:
        raise AudienceMismatch(f"aud is {' '.join(audience)[:100]}, expected: {wanted.expected}")


def check_not_before(case: Case) -> None:
    """Neither nbf nor iat is in the future by more than the clock skew (RFC 7519, sections 4.1.5 and 4.1.6)."""
    latest = case.now + case.provider.clock_skew
    for name, moment in (("nbf", case.claims.not_before), ("iat", case.claims.issued_at)):
        if moment is not None and moment > latest:
            raise TokenNotYetValid(f"{name} is {moment - case.now:.0f} seconds in the future: the clocks differ")


def check_expiry(case: Case) -> None:
    """The exp, plus expiry_adjustment and clock skew, is in the future (RFC 7519, 4.1.4); exp is not before iat."""
    expires_at, issued_at = case.claims.expires_at, case.claims.issued_at
    if expires_at is None:
        if issued_at is None:
            raise ClaimMissing("the token has neither exp nor iat, so it would never expire", claim="exp")
        return
    overdue = case.now - expires_at - case.provider.expiry_adjustment - case.provider.clock_skew
    if overdue >= 0:
        raise TokenExpired(f"the token expired {case.now - expires_at:.0f} seconds ago, by this server's clock")
    if issued_at is not None and expires_at < issued_at:
        raise ClaimInvalid("exp is before iat", claim="exp")


def check_age(case: Case) -> None:
    """The iat is at most max_age plus clock skew in the past; this also limits tokens without exp."""
    issued_at = case.claims.issued_at
    if issued_at is not None and case.now - issued_at > case.provider.max_age + case.provider.clock_skew:
        age = case.now - issued_at
        raise TokenTooOld(f"the token was issued {age:.0f} seconds ago; at most {case.provider.max_age} are allowed")


def check_strict_header(case: Case) -> None:
    """Strict: the header has only alg, typ and kid, and a kid if the key has one."""
    if not case.header.keys() <= STRICT_HEADER:
        surplus = ", ".join(sorted(case.header.keys() - STRICT_HEADER))
        raise TokenMalformed(f"the header has members other than alg, typ and kid: {surplus[:100]}")
    if case.key.kid is not None and case.header.get("kid") != case.key.kid:
        raise TokenMalformed("the header has no kid, but the key has one")


def check_strict_audience(case: Case) -> None:
    """Strict: the gateway is the only audience; another recipient could send the token to us (RFC 7519, 4.1.3)."""
    if len(case.claims.audience) > 1:
        raise AudienceMismatch(f"aud names {len(case.claims.audience)} recipients; the gateway must be the only one")


def check_strict_lifetime(case: Case) -> None:
    """Strict: the lifetime of the token is at most max_age."""
    issued_at, expires_at = case.claims.issued_at, case.claims.expires_at
    if issued_at is None or expires_at is None:
        return
    if expires_at - issued_at > case.provider.max_age:
        raise ClaimInvalid(f"exp is more than {case.provider.max_age} seconds after iat", claim="exp")


def check_strict_foreign(case: Case) -> None:
    """Strict: no claims of other kinds of tokens (RFC 8725, section 3.12), and no azp that names another party."""
    for name in FOREIGN_CLAIMS:
        if name in case.claims.raw:
            raise TokenTypeWrong(f"the claim {name} belongs to another kind of token")
    azp, expected = case.claims.raw.get("azp"), case.provider.audience.expected
    if azp is not None and (azp != expected if expected else azp not in case.claims.audience):
        raise TokenTypeWrong("azp names another party")


def check_strict_email(case: Case) -> None:
    """Strict: the e-mail is plain ASCII with one @ and a dotted domain, and email_verified is true or missing."""
    raw = case.claims.raw
    for name in case.provider.mapped_email:
        email = find_claim(raw, name)
        if email is not None and not is_plain_email(email):
            raise ClaimInvalid(f"{name} must be one plain ASCII e-mail address with a dotted domain", claim=name)
    if raw.get("email_verified", True) is not True:
        raise ClaimInvalid("email_verified is not true", claim="email_verified")


def check_strict_text(case: Case) -> None:
    """Strict: mapped claims have no control or format characters, which can make one name look like another."""
    raw = case.claims.raw
    for name in case.provider.mapped_claims:
        value = raw[name] if name in raw else find_claim(raw, name)
        if value is None or (type(value) is str and value.isprintable()):
            continue  # the fast way for most values: printable text has no such characters
        for text in _texts(value):
            if not text.isprintable() and any(unicodedata.category(c) in _INVISIBLE for c in text):
                raise ClaimInvalid(f"{name} has control or format characters", claim=name)


Check = Callable[[Case], None]

CHECKS: tuple[Check, ...] = (
    check_type,
    check_required,
    check_token_id,
    check_issuer,
    check_audience,
    check_not_before,
    check_expiry,
    check_age,
)
STRICT_CHECKS: tuple[Check, ...] = (
    *CHECKS,
    check_strict_header,
    check_strict_foreign,
    check_strict_audience,
    check_strict_lifetime,
    check_strict_email,
    check_strict_text,
)


def checks_of(provider: Provider) -> tuple[Check, ...]:
    """Return the checks that a token of *provider* must pass, in order."""
    return STRICT_CHECKS if provider.strict else CHECKS


def check_nonce(claims: Claims, provider: Provider, expected: frozenset[str]) -> None:
    """The nonce is one that this browser received, or is missing and not required (OIDC Core, 3.1.3.7)."""
    if claims.nonce is None:
        if provider.require_nonce or "nonce" in provider.required_claims:
            raise NonceMismatch("the claim nonce is required and missing", claim="nonce")
    elif claims.nonce not in expected:
        raise NonceMismatch("the nonce does not belong to a sign-in that this browser started", claim="nonce")


def is_plain_email(value: Any) -> bool:
    """Tell whether *value* is an ASCII e-mail address of at most 254 characters with one @ and a dotted domain."""
    return isinstance(value, str) and len(value) <= MAX_EMAIL_LENGTH and _PLAIN_EMAIL.match(value) is not None


def _hint(raw: Mapping[str, Any], name: str) -> str:
    """Return a hint about a similar name: published samples write IAT and JTI, and exp with Cyrillic letters."""
    as_long = (other for other in raw if len(other) == len(name) and other != name)  # look-alikes have equal length
    for other in islice(as_long, MOST_NAMES):
        if other.lower() == name:
            return f"; the token has {other}, but names of claims are in lower case"
        if looks_like(other) == name:
            return "; the token has it with letters of another alphabet, which look the same"
    return ""


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a claim, in any order, including names of members."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if type(value) is str:
            yield value
        elif type(value) is list:
            waiting += value
        elif type(value) is dict:
            waiting += [*value, *value.values()]
