"""Describe a sign-in step by step, and make tokens with one error each, for the tour of the demo.

The tour is for people who try the program on their own machine. It runs only in the demo. The demo has the key of its
identity provider, so it can sign such tokens.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.keys import TokenKey, generate_key, load_key
from shared.tokens import sign

Claims = dict[str, Any]
HOUR = 3600  # seconds
BROWSER, GATEWAY, IDENTITY_PROVIDER = "browser", "gateway", "identity provider"


@dataclass(frozen=True)
class Step:
    """One arrow of the sequence diagram. `at` is in seconds since 1970, if it is known."""

    source: str
    target: str
    label: str
    text: str
    at: int | None = None


@dataclass(frozen=True)
class Fault:
    """One error of a token: `change` changes its claims.

    If `foreign_key` is true, a key that the gateway does not know signs the token. If `spent` is true, the token was
    used before.
    """

    name: str
    title: str
    text: str
    code: str
    change: Callable[[Claims, int], Claims] = lambda claims, _now: claims
    foreign_key: bool = False
    spent: bool = False


def _without_email(claims: Claims, _now: int) -> Claims:
    return {name: value for name, value in claims.items() if name != "email"}


FAULTS = (
    Fault(
        "expired",
        "Expired",
        "The token was good an hour ago. Somebody may have found it in a log.",
        "token_expired",
        lambda claims, now: {**claims, "iat": now - HOUR, "nbf": now - HOUR, "exp": now - HOUR + 60},
    ),
    Fault(
        "replayed",
        "Used twice",
        "The token is valid, and was used a moment ago. Each token works once.",
        "token_replayed",
        spent=True,
    ),
    Fault(
        "wrong_key",
        "Wrong key",
        "Everything is right except the signature: another secret made it.",
        "signature_invalid",
        foreign_key=True,
    ),
    Fault(
        "wrong_audience",
        "Wrong audience",
        "The identity provider issued the token for another service.",
        "audience_mismatch",
        lambda claims, _now: {**claims, "aud": "https://another-service.example"},
    ),
    Fault(
        "clock_ahead",
        "Clock ahead",
        "The identity provider's clock is an hour ahead, so the token is not valid yet.",
        "token_not_yet_valid",
        lambda claims, now: {**claims, "iat": now + HOUR, "nbf": now + HOUR, "exp": now + HOUR + 60},
    ),
    Fault(
        "email_missing",
        "E-mail missing",
        "The token does not say which e-mail address the person has.",
        "claim_missing",
        _without_email,
    ),
)
FAULT_BY_NAME = {fault.name: fault for fault in FAULTS}


def broken_token(fault: Fault, claims: Claims, key: TokenKey, now: int) -> str:
    """Return *claims* with this fault, signed."""
    foreign = load_key(generate_key(key.algorithm), key.algorithm)
    return sign(fault.change(claims, now), foreign if fault.foreign_key else key)


def steps(claims: Mapping[str, Any], idp_url: str, gateway_url: str, created_at: int, cookie: str) -> tuple[Step, ...]:
    """Return the steps of the sign-in by a token with these *claims*, which opened a session at *created_at*."""
    nonce = str(claims.get("nonce", ""))
    issued_at = claims.get("iat")
    issued = int(issued_at) if isinstance(issued_at, int | float) else None
    asked = "return_to and nonce" if nonce else "return_to"
    return (
        Step(
            BROWSER,
            GATEWAY,
            "GET a page",
            "Your browser asked for a page of the application. It sent no session cookie, so the application was not "
            "called.",
        ),
        Step(
            GATEWAY,
            BROWSER,
            "redirect to sign in",
            f"The gateway sent it to {idp_url}/login-token/ with {asked}. A cookie with the name sp_pending_… keeps "
            "the page and the nonce, so that only this browser can use the answer.",
        ),
        Step(
            BROWSER,
            IDENTITY_PROVIDER,
            "e-mail and password",
            "You typed your password at the identity provider. The gateway never sees it. If you were signed in there "
            "already, there was no form.",
        ),
        Step(
            IDENTITY_PROVIDER,
            BROWSER,
            "a signed token",
            "The identity provider signed the claims below, and gave the token to your browser in a form, so that it "
            "is in no URL.",
            issued,
        ),
        Step(
            BROWSER,
            GATEWAY,
            "POST /sso/login/jwt",
            f"Your browser posted the token to {gateway_url}/sso/login/jwt. The gateway ran the checks below, and "
            "spent the token's jti: a second use is rejected.",
        ),
        Step(
            GATEWAY,
            BROWSER,
            "session cookie",
            f"The gateway opened a session and set the cookie {cookie} (HttpOnly, SameSite=Lax): a random ID, whose "
            "hash is in the database. Then it sent the browser to the page that it had asked for.",
            created_at,
        ),
    )
