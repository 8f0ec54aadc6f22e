"""Find out which provider signed a sign-out token: its signature alone shows it. Pure but for fetching keys."""

from __future__ import annotations

from collections.abc import Iterable

from shared.errors import (
    AlgorithmNotAllowed,
    AudienceMismatch,
    IssuerMismatch,
    KeyUnavailable,
    Rejection,
    SignatureInvalid,
)
from sp.providers.patience import Patience
from sp.providers.provider import Provider
from sp.providers.registry import Trusted
from sp.sessions.provider_sign_out import SignOut
from sp.signin.attempt import known
from sp.signout.tokens import verify_sign_out

# Refusals that leave room for another provider. The further down, the further the token came.
NOT_THIS_PROVIDER = (AlgorithmNotAllowed, SignatureInvalid, KeyUnavailable, AudienceMismatch, IssuerMismatch)


def verify_by_any(
    unverified_token: str, candidates: Iterable[Trusted], now: float, *, our_url: str, back_channel: bool
) -> tuple[Provider, SignOut]:
    """Return the provider that signed the token, and what it says. Spends nothing.

    Raises the Rejection of the provider that it is from, or, if it is from none, the one that says most.
    """
    refusals: list[Rejection] = []
    patience = Patience()  # for all of them together
    for trusted in candidates:
        try:
            return trusted.provider, _verify(unverified_token, trusted, now, patience, our_url, back_channel)
        except NOT_THIS_PROVIDER as rejection:
            refusals.append(rejection)
    refusal = max(refusals, key=_how_far, default=SignatureInvalid("there is no provider that can have signed it"))
    refusal.attempt = None  # of no provider
    raise refusal


def _verify(
    unverified_token: str, trusted: Trusted, now: float, patience: Patience, our_url: str, back_channel: bool
) -> SignOut:
    provider = trusted.provider
    with known(provider):
        return trusted.with_keys(
            unverified_token,
            lambda keys: verify_sign_out(
                unverified_token, provider, keys, now, our_url=our_url, back_channel=back_channel
            ),
            patience,
        )


def _how_far(rejection: Rejection) -> int:
    return NOT_THIS_PROVIDER.index(type(rejection))
