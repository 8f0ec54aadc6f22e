"""Decide which pending sign-in of a browser a token answers, and what to do next.

This stops login CSRF: an attacker can make another person's browser deliver the attacker's token. That must not sign
the person in to the attacker's account. The token was verified before, and is spent afterwards; nothing is changed
here, and only the function *signed_in* that the caller passes may look something up.

Pure code: it does no I/O and reads no clock.
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
    """Open no session: redirect the browser to ask for a token itself (docs/protocol.md, `unsolicited`)."""


@dataclass(frozen=True)
class Unasked:
    """The browser started no sign-in, and the settings allow that. `landing` is where the browser goes."""

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
    """Return what to do with the verified token in the browser that delivered it. Raises NonceMismatch, Unsolicited.

    *pending* is the list of sign-ins that the browser has started with *provider*, newest first. *wanted* is the path
    on this site that the token or the request names, and *home* is the provider's page after sign-in. *signed_in* looks
    up the browser's session; it is called only if the answer depends on it.
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
    """Check that a client without cookies may use the token. Raises NonceMismatch, Unsolicited.

    Without a cookie, users cannot be signed in against their will, so an unsolicited token needs no restart.
    """
    _check_asked(claims, provider, pending, "this client", may_be_unsolicited=provider.unsolicited != "refuse")


def gets_access_token(provider: Provider, landing: str, home: str) -> bool:
    """Tell whether the page *landing* receives an access token, for programs that call the application.

    Only *home* does, because the provider's settings name it. The sender of the token or of a link chose any other
    page.
    """
    return provider.access_token_delivery != "none" and landing == home


def _answers_a_finished_one(claims: Claims, pending: Sequence[Pending], signed_in: Callable[[], bool]) -> bool:
    """Tell whether the token seems to answer a sign-in of this browser that is already finished.

    A user who goes back to the identity provider's form gets a new token with the nonce of a finished sign-in, while
    other tabs may still wait. So an unknown nonce in a signed-in browser counts as this case, and opens no session. In
    a browser that is not signed in, it may be an attack, and check_nonce rejects it.
    """
    return claims.nonce is not None and all(one.nonce != claims.nonce for one in pending) and signed_in()


def _check_asked(
    claims: Claims, provider: Provider, pending: Sequence[Pending], who: str, *, may_be_unsolicited: bool
) -> None:
    check_nonce(claims, provider, frozenset(one.nonce for one in pending))
    if not pending and not may_be_unsolicited:
        raise Unsolicited(f"{who} did not start a sign-in")


def _answered(claims: Claims, pending: Sequence[Pending], wanted: str | None) -> Pending:
    """Return the sign-in that the token answers: by nonce, otherwise by page, otherwise the newest."""
    by_nonce = (one for one in pending if one.nonce == claims.nonce)
    by_page = (one for one in pending if one.return_path == wanted)
    return next(by_nonce, None) or next(by_page, pending[0])


def _must_ask(claims: Claims, provider: Provider, pending: Pending) -> bool:
    """Tell whether a page of another site may have both started the sign-in and delivered the token.

    A nonce would bind the token to the sign-in. If unsolicited tokens are accepted, asking would not protect anyone.
    """
    return pending.elsewhere and claims.nonce is None and provider.unsolicited != "accept"
