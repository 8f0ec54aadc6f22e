"""Decide recorded attempts again under other settings of their provider.

The same functions as at a sign-in decide: the checks of `sp.signin.verification`, `bind`, the field matching, and the
decision about the account. But a trace does not contain everything:

- Signatures are not checked again, because traces do not contain them. An attempt with an invalid signature keeps its
  result, and all other attempts count as correctly signed.
- An attempt also keeps its result if a store did not answer, if the provider had no key or was not known, if the
  browser blocked cookies, if there was no token or more than one, or if the token could not be read or was used before.

Even then, an earlier step can reject the attempt now, for example because the provider is disabled.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from shared.claims import Claims
from shared.errors import (
    DeliveryNotAllowed,
    ProviderDisabled,
    Rejection,
    SignatureInvalid,
    TokenMalformed,
    TokenReplayed,
    UserDisabled,
)
from shared.tokens import check_algorithm
from sp.accounts.provisioning import AccountState, Profile, decide, read_profile
from sp.activity.trace import FAILED, PASSED, Trace
from sp.events import HELD, REFUSED, RESTART, SIGN_IN
from sp.providers.provider import Provider
from sp.sessions.cookie_names import NAME as SESSION_COOKIE
from sp.signin.binding import Answers, Restart, bind, check_client
from sp.signin.passed_checks import NOT_FOR_CLIENTS, STARTED_ELSEWHERE
from sp.signin.verification import Case, checks_of

ACCEPTED = "accepted"
ENDINGS = {SIGN_IN: ACCEPTED, RESTART: RESTART, HELD: HELD}
# These codes were decided before the token was opened, or by a store. Traces do not show whether other settings would
# change them.
UNCHANGED = ("store_unavailable", "key_unavailable", "cookies_blocked", "provider_unknown", "token_missing")


@dataclass(frozen=True)
class AccountsNow:
    """The accounts that match a profile today; see `decide`."""

    known: AccountState | None
    same_email: AccountState | None
    free_seat: bool


class LookUp(Protocol):
    """Finds the accounts of a profile, as they are today."""

    def __call__(self, profile: Profile) -> AccountsNow: ...


@dataclass(frozen=True)
class Again:
    """The recorded and the new result of an attempt: "accepted", "restart", "held", or the code of the rejection."""

    trace: Trace
    before: str
    after: str


@dataclass(frozen=True)
class _Asked:
    """A sign-in that the browser had started, as far as `bind` needs it."""

    nonce: str
    elsewhere: bool
    return_path: str = ""


def is_sign_in(trace: Trace) -> bool:
    """Tell whether *trace* is an attempt to sign in with a token."""
    is_other = trace.check("sign_out") is not None or (trace.facts.account is not None and trace.provider is None)
    return trace.event in (*ENDINGS, REFUSED) and trace.provider is not None and not is_other


def is_decidable(trace: Trace) -> bool:
    """Tell whether the trace has everything that a decision needs, which is the case if nothing was clipped."""
    return not trace.facts.clipped


def decide_again(trace: Trace, provider: Provider, look_up: LookUp) -> Again:
    """Return how the attempt would end under the settings of *provider*, at the time of the attempt."""
    before = trace.code or ENDINGS[trace.event]
    try:
        after = _ending(trace, provider, look_up)
    except Rejection as rejection:
        after = rejection.code
    return Again(trace, before, after)


def _ending(trace: Trace, provider: Provider, look_up: LookUp) -> str:
    """Run the steps of a sign-in in their order, and return the result. Raises the Rejection."""
    if not provider.enabled:
        raise ProviderDisabled
    if trace.code in UNCHANGED or _has_two_tokens(trace):
        return trace.code or ACCEPTED
    if trace.facts.delivery not in ("none", *provider.deliveries) and _uses_deliveries(trace):
        raise DeliveryNotAllowed
    claims = _verify(trace, provider)
    ending = _bind(trace, claims, provider)
    profile = read_profile(claims, provider)
    if trace.code == TokenReplayed.code:
        raise TokenReplayed
    if ending == ACCEPTED:
        _decide_account(trace, profile, provider, look_up)
    return ending


def _has_two_tokens(trace: Trace) -> bool:
    return trace.code == TokenMalformed.code and trace.check("delivery") is not None


def _is_unreadable(trace: Trace, part: str) -> bool:
    """Tell whether the *part* of the token, its form or its payload, could not be read."""
    check = trace.check(part)
    return check is not None and check.outcome == FAILED


def _uses_deliveries(trace: Trace) -> bool:
    """Tell whether the endpoint respects the setting `deliveries`. `/sso/token` does not."""
    asked = trace.check("asked_for")
    return asked is None or asked.detail != NOT_FOR_CLIENTS or trace.facts.delivery == "header"


def _verify(trace: Trace, provider: Provider) -> Claims:
    if _is_unreadable(trace, "form"):
        raise TokenMalformed
    header = dict(trace.facts.header or {"alg": provider.algorithm})
    if isinstance(header.get("alg"), str):
        check_algorithm(header, provider.algorithm)
    if trace.code == SignatureInvalid.code:
        raise SignatureInvalid
    if _is_unreadable(trace, "payload"):
        raise TokenMalformed
    claims = Claims.parse(trace.facts.claims or {}, numeric_token_id=provider.numeric_token_id)
    for check in checks_of(provider):
        check(Case(header, claims, provider, _ANY_KEY, trace.checked_at))
    return claims


class _AnyKey:
    """A placeholder for the key. It has no kid, so the token's header need not name one."""

    kid = None


_ANY_KEY: Any = _AnyKey()


def _bind(trace: Trace, claims: Claims, provider: Provider) -> str:
    """Return how the sign-in would end for this browser, as far as the trace shows what cookies it had."""
    asked, nonce = trace.check("asked_for"), trace.check("nonce")
    if asked is not None and asked.detail == NOT_FOR_CLIENTS:
        return ACCEPTED
    matches = nonce is not None and nonce.outcome == PASSED
    compared = claims._replace(nonce=None if claims.nonce is None else "sent")
    elsewhere = trace.event == HELD or (asked is not None and asked.detail == STARTED_ELSEWHERE)
    pending: list[Any] = []
    if asked is not None and asked.outcome == PASSED:
        pending = [_Asked("sent" if matches else "another", elsewhere and trace.event != SIGN_IN)]
    is_program = trace.facts.sent_to is None and trace.event not in (RESTART, HELD)
    if is_program:
        check_client(compared, provider, pending)
        return ACCEPTED
    has_session = any(name.endswith(SESSION_COOKIE) for name in trace.facts.cookies)
    match bind(compared, provider, pending, wanted=None, home="/", signed_in=lambda: has_session):
        case Restart():
            return RESTART
        case Answers(must_ask=True):
            return HELD
        case _:
            return ACCEPTED


def _decide_account(trace: Trace, profile: Profile, provider: Provider, look_up: LookUp) -> None:
    """Raise the rejection if the account would be rejected.

    What the trace says about the account counts. Where it says nothing, the account's state today counts.
    """
    if trace.code == UserDisabled.code:
        raise UserDisabled
    found = look_up(profile)
    if trace.facts.account is not None and trace.facts.account.decision == "created":
        found = AccountsNow(None, None, free_seat=True)
    if trace.code == "seat_limit_reached":
        found = AccountsNow(None, None, free_seat=False)
    if trace.code == "user_unknown":
        found = AccountsNow(None, found.same_email, found.free_seat)
    decide(profile, provider, known=found.known, same_email=found.same_email, free_seat=found.free_seat)
