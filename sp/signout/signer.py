"""Find the provider that signed a sign-out token, by its signature alone. The only I/O is to fetch keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from shared.errors import (
    AlgorithmNotAllowed,
    AudienceMismatch,
    IssuerMismatch,
    KeyUnavailable,
    Rejection,
    SignatureInvalid,
)
from sp.providers.patience import Patience
from sp.providers.registry import Trusted
from sp.sessions.provider_sign_out import SignOut
from sp.signin.attempt import known
from sp.signout.tokens import verify_sign_out

# After one of these rejections, another provider is tried. The later a rejection is in the list, the more checks the
# token has passed.
NOT_THIS_PROVIDER = (AlgorithmNotAllowed, SignatureInvalid, KeyUnavailable, AudienceMismatch, IssuerMismatch)


def verify_by_any(
    unverified_token: str,
    candidates: Iterable[Trusted],
    clock: Callable[[], float],
    *,
    our_url: str,
    back_channel: bool,
) -> tuple[Trusted, SignOut]:
    """Return the provider that signed the token, and the sign-out that the token asks for. Do not spend the token.

    *clock* returns the seconds since 1970. It is called after the keys were fetched, because fetching may take seconds.
    If the algorithm, the keys, the audience or the issuer do not fit a provider, the next provider is tried. If none
    fits, the Rejection after the most passed checks is raised. Any other Rejection is raised at once.
    """
    refusals: list[Rejection] = []
    patience = Patience()  # one limit for fetching the keys of all providers together
    for trusted in candidates:
        try:
            return trusted, _verify(unverified_token, trusted, clock, patience, our_url, back_channel)
        except NOT_THIS_PROVIDER as rejection:
            refusals.append(rejection)
    refusal = max(refusals, key=_how_far, default=SignatureInvalid("no enabled provider can have signed the token"))
    refusal.attempt = None  # no provider is known
    raise refusal


def _verify(
    unverified_token: str,
    trusted: Trusted,
    clock: Callable[[], float],
    patience: Patience,
    our_url: str,
    back_channel: bool,
) -> SignOut:
    provider = trusted.provider
    with known(provider):
        return trusted.with_keys(
            unverified_token,
            lambda keys: verify_sign_out(
                unverified_token, provider, keys, clock(), our_url=our_url, back_channel=back_channel
            ),
            patience,
        )


def _how_far(rejection: Rejection) -> int:
    return NOT_THIS_PROVIDER.index(type(rejection))
