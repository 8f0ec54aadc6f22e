"""One attempt to sign in or out by a token: verify it, and remember for the log how far it came.

A view says what is known at each stage (`known`). The rejection that is raised there carries it to the one place that
logs and answers rejections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from shared.errors import Rejection
from shared.keys import KeySet
from sp.providers.provider import Provider
from sp.providers.registry import Trusted
from sp.signin.verification import Verified, verify


@dataclass(frozen=True)
class Attempt:
    """What is known so far: None for what is not. `verified` is there only if a key vouches for it."""

    provider: Provider | None = None
    verified: Verified | None = None


@contextmanager
def known(provider: Provider, verified: Verified | None = None) -> Iterator[None]:
    """Give every Rejection that is raised inside what is known of the attempt, unless it knows more already."""
    try:
        yield
    except Rejection as rejection:
        rejection.attempt = rejection.attempt or Attempt(provider, verified)
        raise


def attempt_of(rejection: Rejection) -> Attempt:
    """Return what was known when *rejection* was raised."""
    return rejection.attempt if isinstance(rejection.attempt, Attempt) else Attempt()


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
