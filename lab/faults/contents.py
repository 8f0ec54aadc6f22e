"""Faults of the claims: missing, malformed, of another issuer or audience, or not JSON at all."""

from __future__ import annotations

import json

from lab.drafts import Draft
from lab.faults.fault import Fault, Make

HUGE = 16_384  # characters of one claim: the token has about 22 KB
DEPTH = 5_000  # levels
JSON_RULE = "RFC 7519, section 7.2"
EMAIL_RULE = "RFC 5321, section 4.1.2"
JTI_RULE = "RFC 7519, section 4.1.7"
NONCE_RULE = "OpenID Connect Core 1.0, section 3.1.3.7"


def _set(name: str, value: object) -> Make:
    return lambda good: good.with_claims(**{name: value})


def _without(name: str) -> Make:
    return lambda good: good.without(name)


def _renamed(good: Draft, other: dict[str, str]) -> str:
    return good.token(claims={other.get(name, name): value for name, value in good.claims.items()})


def _deep(good: Draft) -> str:
    nested = '{"a":' * DEPTH + "1" + "}" * DEPTH
    return good.with_payload(lambda text: f'{text[:-1]},"deep":{nested}}}')


FAULTS = (
    Fault(
        "wrong-issuer",
        "iss names another identity provider",
        "RFC 7519, section 4.1.1; RFC 8725, section 3.8",
        _set("iss", "https://another-idp.example"),
        "hole",
        about="iss",
    ),
    Fault("issuer-missing", "there is no iss", "RFC 8725, section 3.8", _without("iss"), about="iss"),
    Fault(
        "wrong-audience",
        "aud names another service provider",
        "RFC 7519, section 4.1.3",
        _set("aud", "https://another-sp.example"),
        "hole",
        about="aud",
    ),
    Fault("audience-missing", "there is no aud", "RFC 8725, section 3.9", _without("aud"), about="aud"),
    Fault(
        "wrong-nonce",
        "nonce is of another sign-in",
        NONCE_RULE,
        _set("nonce", "a-nonce-of-another-browser"),
        "hole",
        about="nonce",
    ),
    Fault("nonce-missing", "there is no nonce", NONCE_RULE, _without("nonce"), about="nonce"),
    Fault("jti-missing", "there is no jti", JTI_RULE, _without("jti"), about="jti"),
    Fault("jti-empty", "jti is empty", JTI_RULE, _set("jti", ""), about="jti"),
    Fault("jti-null", "jti is null", JTI_RULE, _set("jti", None), about="jti"),
    Fault(
        "jti-number",
        "jti is a number",
        f"{JTI_RULE}: a string",
        lambda good: good.with_claims(jti=good.now),
        about="jti",
    ),
    Fault(
        "email-missing", "there is no email", "OpenID Connect Core 1.0, section 5.1", _without("email"), about="email"
    ),
    Fault("email-empty", "email is empty", EMAIL_RULE, _set("email", ""), about="email"),
    Fault("email-null", "email is null", "OpenID Connect Core 1.0, section 5.1", _set("email", None), about="email"),
    Fault("email-malformed", "email has no @", EMAIL_RULE, _set("email", "alice"), about="email"),
    Fault(
        "email-mail",
        "the claim is called mail instead of email",
        "OpenID Connect Core 1.0, section 5.1",
        lambda good: _renamed(good, {"email": "mail"}),
        about="email",
    ),
    Fault(
        "email-list",
        "email is a list",
        "OpenID Connect Core 1.0, section 5.1: a string",
        lambda good: good.with_claims(email=[good.claims["email"]]),
        about="email",
    ),
    Fault(
        "email-line-break",
        "email has a line break and a header behind it",
        EMAIL_RULE,
        lambda good: good.with_claims(email=f"{good.claims['email']}\r\nX-Injected: yes"),
        about="email",
    ),
    Fault(
        "claims-capitals",
        "the names of the claims are in capitals (IAT, JTI, EXP)",
        "RFC 7519, section 4.1; a common mistake",
        lambda good: _renamed(good, {name: name.upper() for name in ("iat", "jti", "exp")}),
    ),
    Fault(
        "claims-doubled",
        "email is there twice",
        "RFC 7519, section 4",
        lambda good: good.with_payload(lambda text: f'{{"email":"mallory@example.org",{text[1:]}'),
        about="email",
    ),
    Fault("payload-empty", "there are no claims", JSON_RULE, lambda good: good.token(claims={})),
    Fault(
        "payload-list", "the claims are in a list", JSON_RULE, lambda good: good.with_payload(lambda text: f"[{text}]")
    ),
    Fault("payload-text", "the claims are a text", JSON_RULE, lambda good: good.with_payload(json.dumps)),
    Fault(
        "payload-not-json", "the payload is not JSON", JSON_RULE, lambda good: good.with_payload(lambda text: text[:-1])
    ),
    Fault(
        "payload-utf16",
        "the payload is in UTF-16",
        "RFC 8725, section 3.7: UTF-8",
        lambda good: good.with_payload(lambda text: text.encode("utf-16")),
    ),
    Fault(
        "payload-bom",
        "the payload begins with a byte order mark",
        "RFC 8259, section 8.1",
        lambda good: good.with_payload(lambda text: b"\xef\xbb\xbf" + text.encode()),
    ),
    Fault(
        "payload-nan",
        "a claim is NaN",
        "RFC 8259, section 6",
        lambda good: good.with_payload(lambda text: f'{text[:-1]},"score":NaN}}'),
    ),
    Fault("payload-deep", f"a claim has {DEPTH:,} levels", "RFC 8259, section 9", _deep),
    Fault(
        "huge",
        f"a claim has {HUGE:,} characters",
        "a token travels in a URL: RFC 9110, section 4.1 (8,000 bytes)",
        _set("padding", "x" * HUGE),
    ),
)
