"""One attempt to sign in or out with a token: verify the token, and keep the facts known at each stage for the log.

A view declares the known facts in a `with known(...)` block. A Rejection raised in the block carries them to the error
handler, which logs and answers all rejections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns

from shared.errors import Rejection
from shared.keys import KeySet
from sp.providers.provider import Provider
from sp.providers.registry import Trusted
from sp.signin.verification import Verified, verify


@dataclass(frozen=True)
class Attempt:
    """The facts known so far; None for an unknown fact. `verified` is set only after every check has passed.

    `keys` are the keys that were tried, if the token was rejected.
    """

    provider: Provider | None = None
    verified: Verified | None = None
    keys: KeySet | None = None


@contextmanager
def known(provider: Provider, verified: Verified | None = None) -> Iterator[None]:
    """Attach the known facts to a Rejection raised in this block, unless an inner block has attached its own."""
    try:
        yield
    except Rejection as rejection:
        rejection.attempt = rejection.attempt or Attempt(provider, verified)
        raise


def attempt_of(rejection: Rejection) -> Attempt:
    """Return the facts that were known when *rejection* was raised."""
    return rejection.attempt if isinstance(rejection.attempt, Attempt) else Attempt()


def verify_with_keys(
    unverified_token: str,
    trusted: Trusted,
    clock: Callable[[], float],
    *,
    note: Callable[[KeySet], object] = lambda _keys: None,
) -> Verified:
    """Return the verified token, or raise the Rejection that says why it is not valid. Spends nothing.

    *clock* tells the seconds since 1970; it is called after the keys were fetched, because that may take seconds.
    *note* is called with each key set that is tried: a second one follows if the provider has changed its keys.
    """

    def attempt(keys: KeySet) -> Verified:
        note(keys)
        try:
            return verify(unverified_token, trusted.provider, keys, clock())
        except Rejection as rejection:
            rejection.attempt = Attempt(trusted.provider, keys=keys)
            raise

    began = perf_counter_ns()
    return trusted.with_keys(unverified_token, attempt).timed(began, perf_counter_ns())
