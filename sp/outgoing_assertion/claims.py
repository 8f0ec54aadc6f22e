"""Build the identity assertion: signed claims about a person for an application behind a proxy.

An application can trust a header only if no client can reach it without the proxy. It can verify the assertion
(X-Lychgate-Assertion): an ES256 token, signed with a key that only the gateway has, for one host, valid for two
minutes.
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
PUBLISH_BEFORE = timedelta(hours=1)  # verifiers cache a JWKS for minutes; a key must reach all of them first
ROTATE_AFTER = timedelta(days=90)
KEEP_AFTER = timedelta(hours=1)  # much longer than an assertion lives


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
    """Return the key that signs now: the newest key that every verifier can have, otherwise the oldest."""
    oldest_first = sorted(keys, key=lambda key: (key.created_at, key.kid))
    known = [key for key in oldest_first if now - key.created_at >= PUBLISH_BEFORE]
    return known[-1] if known else next(iter(oldest_first), None)


def needs_new_key(keys: Sequence[KeyAge], now: datetime) -> bool:
    """Tell whether a new key is due: the newest key is too old, or there is none."""
    return all(now - key.created_at >= ROTATE_AFTER for key in keys)


def outlived(keys: Sequence[KeyAge], now: datetime) -> list[KeyAge]:
    """Return the keys that no unexpired assertion needs: older than the signing key, for longer than KEEP_AFTER."""
    current = signing_key(keys, now)
    if current is None or now - current.created_at < PUBLISH_BEFORE + KEEP_AFTER:
        return []
    return [key for key in keys if (key.created_at, key.kid) < (current.created_at, current.kid)]
