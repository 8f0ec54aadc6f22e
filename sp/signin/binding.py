"""Decide which pending sign-in of a browser a token answers, and what follows. Pure.

This is what stops login CSRF: an attacker who makes a browser deliver the attacker's own token must not sign its
person in as somebody else. The token is verified before, and spent after; here nothing is looked up or changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.claims import Claims
from shared.errors import Unsolicited
from sp.providers.provider import Provider
from sp.signin.verification import check_nonce

if TYPE_CHECKING:
    from sp.signin.pending import Pending


@dataclass(frozen=True)
class Restart:
    """Open nothing: the browser is sent to ask for a token itself (wire contract, `unsolicited`)."""


@dataclass(frozen=True)
class Unasked:
    """No sign-in was started, and none needs to be. `landing` is where the browser goes."""

    landing: str


@dataclass(frozen=True)
class Answers:
    """The token answers `pending`. With `must_ask` the person has to confirm that they want to sign in."""

    pending: Pending
    landing: str
    must_ask: bool


def bind(
    claims: Claims,
    provider: Provider,
    pending: Sequence[Pending],
    *,
    wanted: str | None,
    home: str,
    signed_in: Callable[[], bool],
) -> Restart | Unasked | Answers:
    """Return what the verified token means for the browser that delivered it. Raises NonceMismatch, Unsolicited.

    *pending* is what the browser has started with *provider*, newest first; *wanted* the path of ours that the token or
    the request names; *home* the provider's page after sign-in. *signed_in* looks for the browser's session, and is
    called only where the answer depends on it.
    """
    may_restart = provider.unsolicited == "restart" and provider.login_url != ""
    if may_restart and (not pending or _answers_a_finished_one(claims, pending, signed_in)):
        return Restart()
    _check_asked(claims, provider, pending, "this browser", may_be_unsolicited=provider.unsolicited == "accept")
    if not pending:
        return Unasked(wanted or home)
    answered = _answered(claims, pending, wanted)
    return Answers(answered, answered.return_path or wanted or home, _must_ask(claims, provider, answered))


def check_client(claims: Claims, provider: Provider, pending: Sequence[Pending]) -> None:
    """A client that gets no cookie may open a session with the token. Raises NonceMismatch, Unsolicited.

    Without a cookie, a person cannot be signed in against their will, so an unsolicited token needs no restart.
    """
    _check_asked(claims, provider, pending, "this client", may_be_unsolicited=provider.unsolicited != "refuse")


def gets_access_token(provider: Provider, landing: str, home: str) -> bool:
    """Tell whether *landing* receives an access token for clients: only *home*, the page that the settings name.

    The sender of the token, or of a link, chooses any other page.
    """
    return provider.access_token_delivery != "none" and landing == home


def _answers_a_finished_one(claims: Claims, pending: Sequence[Pending], signed_in: Callable[[], bool]) -> bool:
    """Tell whether the token looks like the answer to a sign-in of this browser that is over.

    The back button to the identity provider's form brings a new token with the nonce of a sign-in that is finished,
    while other tabs may be waiting. So a foreign nonce in a browser that is signed in is taken for that, and opens
    nothing. In one that is not signed in it is an attack, which check_nonce refuses.
    """
    return claims.nonce is not None and all(one.nonce != claims.nonce for one in pending) and signed_in()


def _check_asked(
    claims: Claims, provider: Provider, pending: Sequence[Pending], who: str, *, may_be_unsolicited: bool
) -> None:
    check_nonce(claims, provider, frozenset(one.nonce for one in pending))
    if not pending and not may_be_unsolicited:
        raise Unsolicited(f"{who} did not start a sign-in")


def _answered(claims: Claims, pending: Sequence[Pending], wanted: str | None) -> Pending:
    """Return the sign-in that the token answers: by its nonce, else by the page it names, else the newest."""
    by_nonce = (one for one in pending if one.nonce == claims.nonce)
    by_page = (one for one in pending if one.return_path == wanted)
    return next(by_nonce, None) or next(by_page, pending[0])


def _must_ask(claims: Claims, provider: Provider, pending: Pending) -> bool:
    """Tell whether a foreign page may have started the sign-in and brought the token, too.

    A nonce would tie the two together. Where unsolicited tokens are accepted, there is nothing to protect.
    """
    return pending.elsewhere and claims.nonce is None and provider.unsolicited != "accept"
