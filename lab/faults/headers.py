"""Faults of the header: other kinds of token, extensions, and keys that the header contains or refers to."""

from __future__ import annotations

from typing import Any

from lab.drafts import Draft
from lab.faults.fault import Fault
from lab.faults.signatures import with_hmac
from lab.forging import encode, key_for

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"  # OpenID Connect Back-Channel Logout 1.0, 2.4
ELSEWHERE = "https://mallory.example/keys.json"  # a reserved name: RFC 2606, section 3
EXTENSION = "https://example.org/unknown"
KEY_RULE = "RFC 8725, section 3.10"


def _own_key(good: Draft, **members: Any) -> str:
    """Sign with a key of the attacker."""
    return good.with_header(key_for(good.key.algorithm, "mallory").sign, **members)


def _embedded(good: Draft) -> str:
    key = key_for(good.key.algorithm, "mallory")
    is_secret = isinstance(key.private, bytes)
    jwk = {"kty": "oct", "k": encode(key.secret.encode())} if is_secret else key.jwk()
    return _own_key(good, jwk=jwk)


def _sign_out(good: Draft) -> str:
    claims = {**good.claims, "events": {LOGOUT_EVENT: {}}}
    return good.token(claims=claims, header={**good.header, "typ": "logout+jwt"})


def _doubled(good: Draft) -> str:
    alg = good.key.algorithm
    return good.token(header=f'{{"typ":"JWT","alg":"none","alg":"{alg}"}}'.encode())


FAULTS = (
    Fault(
        "sign-out-token",
        "it is a sign-out token of the same identity provider (typ logout+jwt, events)",
        "RFC 8725, section 3.12; OpenID Connect Back-Channel Logout 1.0, section 2.4",
        _sign_out,
        "hole",
    ),
    Fault(
        "sign-out-claims",
        "it has the claim of sign-out tokens (events), under the type of a sign-in token",
        "RFC 8417, section 2.2",
        lambda good: good.with_claims(events={LOGOUT_EVENT: {}}),
    ),
    Fault(
        "typ-access-token",
        "it is an access token (typ at+jwt)",
        "RFC 8725, section 3.11; RFC 9068, section 2.1",
        lambda good: good.with_header(typ="at+jwt"),
    ),
    Fault("typ-number", "typ is a number", "RFC 7519, section 5.1", lambda good: good.with_header(typ=5)),
    Fault(
        "jwk-embedded",
        "the header brings the attacker's key (jwk), which fits the signature",
        f"CVE-2018-0114; {KEY_RULE}",
        _embedded,
        "hole",
    ),
    Fault(
        "jku",
        "the header points to the attacker's keys (jku)",
        KEY_RULE,
        lambda good: _own_key(good, jku=ELSEWHERE),
        "hole",
    ),
    Fault(
        "x5u",
        "the header points to the attacker's certificate (x5u)",
        KEY_RULE,
        lambda good: _own_key(good, x5u=ELSEWHERE),
        "hole",
    ),
    Fault(
        "kid-path",
        "kid is the path of an empty file, and the secret is empty",
        KEY_RULE,
        with_hmac(b"", kid="../../../../../../dev/null"),
        "hole",
    ),
    Fault(
        "kid-sql",
        'kid is an SQL injection that answers "mallory", which is the secret',
        KEY_RULE,
        with_hmac(b"mallory", kid="' UNION SELECT 'mallory' -- "),
        "hole",
    ),
    Fault(
        "crit",
        "the header demands an extension that no one knows",
        "RFC 7515, section 4.1.11",
        lambda good: good.token(header={**good.header, "crit": [EXTENSION], EXTENSION: True}),
    ),
    Fault("crit-empty", "crit is empty", "RFC 7515, section 4.1.11", lambda good: good.with_header(crit=[])),
    Fault(
        "b64-false",
        "the header says that the payload is not base64url",
        "RFC 7797, section 6",
        lambda good: good.with_header(b64=False, crit=["b64"]),
    ),
    Fault("header-doubled", "the header names two algorithms", "RFC 7515, section 4", _doubled),
)
