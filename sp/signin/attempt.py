"""Verify a token with the keys that its provider has at this moment."""

from __future__ import annotations

from collections.abc import Callable

from shared.keys import KeySet
from sp.providers.registry import Trusted
from sp.signin.verification import Verified, verify


def verify_with_keys(
    unverified_token: str, trusted: Trusted, now: float, *, note: Callable[[KeySet], object] = lambda _keys: None
) -> Verified:
    """Return the token verified, or raise the Rejection that says why not. Spends nothing.

    *note* is told each set of keys that the token is tried with: a second one, if the provider has changed its keys.
    """

    def attempt(keys: KeySet) -> Verified:
        note(keys)
        return verify(unverified_token, trusted.provider, keys, now)

    return trusted.with_keys(unverified_token, attempt)
