"""Build the identity assertion: signed claims about a person for an application behind a proxy.

An application can trust an identity header only if no client can reach it without the proxy. But the assertion, in the
header X-Lychgate-Assertion, can be verified. It is an ES256 token for one host, valid for two minutes, and signed with
a key that only the gateway has.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.clock import time_now

if TYPE_CHECKING:
    from sp.sessions.store import Session

ALGORITHM = "ES256"
LIFETIME = 120  # seconds; docs/protocol.md
PUBLISH_BEFORE = timedelta(hours=1)  # verifiers cache a JWKS for minutes, and need a new key before it signs
ROTATE_AFTER = timedelta(days=90)
KEEP_AFTER = timedelta(hours=1)  # much longer than an assertion is valid


@dataclass(frozen=True)
class KeyAge:
    """The name and the age of a key, for rotation."""

    kid: str
    created_at: datetime


def claims_about(
    session: Session, issuer: str, audience: str, *, clock: Callable[[], float] = time_now
) -> dict[str, Any]:
    """Return the claims of the assertion for *audience*, a host."""
    now = int(clock())
    return {
        "iss": issuer,
        "aud": audience,
        "sub": str(session.account_id),
        "email": session.email,
        "groups": list(session.groups),
        "iat": now,
        "exp": now + LIFETIME,
        "jti": secrets.token_urlsafe(12),
    }


def signing_key(keys: Sequence[KeyAge], now: datetime) -> KeyAge | None:
    """Return the key that signs now: the newest of the keys that every verifier can know.

    If there is no such key, return the oldest key.
    """
    oldest_first = sorted(keys, key=lambda key: (key.created_at, key.kid))
    known = [key for key in oldest_first if now - key.created_at >= PUBLISH_BEFORE]
    return known[-1] if known else next(iter(oldest_first), None)


def needs_new_key(keys: Sequence[KeyAge], now: datetime) -> bool:
    """Tell whether a new key must be created, because the newest key is too old or there is no key."""
    return all(now - key.created_at >= ROTATE_AFTER for key in keys)


def outlived(keys: Sequence[KeyAge], now: datetime) -> list[KeyAge]:
    """Return the keys that no valid assertion needs any more.

    They are the keys older than the signing key, if the signing key has signed for at least KEEP_AFTER.
    """
    current = signing_key(keys, now)
    if current is None or now - current.created_at < PUBLISH_BEFORE + KEEP_AFTER:
        return []
    return [key for key in keys if (key.created_at, key.kid) < (current.created_at, current.kid)]
