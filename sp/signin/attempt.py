"""One attempt to sign in or out with a token: verify the token, and keep for the log what was known at each stage.

A view declares what is known in a `with known(...)` block. A Rejection raised in the block carries that to the error
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
    """What is known so far; None for what is unknown. `verified` is set only after every check has passed.

    `keys` are those that a token that was rejected was verified with.
    """

    provider: Provider | None = None
    verified: Verified | None = None
    keys: KeySet | None = None


@contextmanager
def known(provider: Provider, verified: Verified | None = None) -> Iterator[None]:
    """Attach what is known of the attempt to a Rejection raised in this block, unless an inner block already has."""
    try:
        yield
    except Rejection as rejection:
        rejection.attempt = rejection.attempt or Attempt(provider, verified)
        raise


def attempt_of(rejection: Rejection) -> Attempt:
    """Return what was known when *rejection* was raised."""
    return rejection.attempt if isinstance(rejection.attempt, Attempt) else Attempt()


def verify_with_keys(
    unverified_token: str,
    trusted: Trusted,
    clock: Callable[[], float],
    *,
    note: Callable[[KeySet], object] = lambda _keys: None,
) -> Verified:
    """Return the verified token, or raise the Rejection that says why it is not valid. Spends nothing.

    *clock* tells the seconds since 1970; it is asked once the keys are there, because fetching them may take seconds.
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
