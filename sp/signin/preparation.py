"""Prepare what a sign-in writes: the session, the line of the activity log with its trace, and the spent token.

All of this is made before the transaction begins, so that the transaction is short. `sp.signin.transaction` stores
it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared.clock import utc_now
from sp.accounts import rows as accounts
from sp.accounts.manage import Proven
from sp.accounts.provisioning import Profile, read_profile
from sp.activity import record as activity
from sp.activity.cleaning import clean, clean_id, clean_url
from sp.activity.trace import AccountDecision, Facts
from sp.providers.registry import Trusted
from sp.sessions import held
from sp.sessions.ending import provider_session_of
from sp.sessions.store import API, NewSession, Origin
from sp.signin.opening import Opening
from sp.signin.passed_checks import browser_checks, passed_checks
from sp.signin.replay import FirstUse, Spending, answer_key
from sp.signin.verification import REMEMBERED_LONGER, Verified, acceptable_until

CREATED = "created"
HOW = {
    CREATED: "no account had this ID or e-mail address",
    "found": "by the ID at the provider",
    "linked": "by the e-mail address: the account had no ID at this provider",
}
RESTARTED = "this browser had not asked for the token, so it was sent to start a sign-in itself"
ASKED = "the token has no nonce, and another site may have started the sign-in, so the person was asked first"


@dataclass(frozen=True)
class TokenSignIn:
    """One sign-in with a token: the verified claims, the provider, and the session to open."""

    verified: Verified
    trusted: Trusted
    profile: Profile
    opening: Opening

    @classmethod
    def of(cls, verified: Verified, trusted: Trusted, opening: Opening) -> TokenSignIn:
        return cls(verified, trusted, read_profile(verified.claims, trusted.provider), opening)

    def origin(self, account_id: int) -> Origin:
        """Return the account and the details that the session stores."""
        claims, visitor = self.verified.claims, self.opening.visitor
        return Origin(
            account_id,
            visitor.ip,
            visitor.user_agent,
            self.opening.return_path or "/",
            provider=self.trusted.provider.name,
            subject=self.profile.subject,
            provider_session=provider_session_of(claims),
            claims=claims.raw,
        )

    @property
    def kept_subject(self) -> str:
        """The person's ID at the provider, in the form of the log."""
        return clean_id(self.profile.subject, self.trusted.secrets)

    def line_of_sign_in(self, found: accounts.Provisioned, prepared: SignInWrites) -> activity.Entry:
        """Return the line of the activity log for a session that was opened."""
        return self.line(
            activity.SIGN_IN,
            prepared.now,
            replace(prepared.facts, account=_decision(found)),
            email=found.email,
            account_id=found.account_id,
            detail="account created" if found.how == CREATED else None,
        )

    def line(self, event: str, now: datetime, facts: Facts, *, email: str, **more: Any) -> activity.Entry:
        """Return the line of the activity log, with its trace."""
        return activity.Entry(
            self.opening.reference,
            int(now.timestamp()),
            event,
            self.opening.visitor,
            provider=self.trusted.provider.name,
            subject=self.kept_subject,
            email=clean_id(email, self.trusted.secrets),
            token_key=self.verified.token_key,
            trace=activity.trace_of(self.opening.visitor, facts),
            **more,
        )

    def facts(self, sent_to: str | None) -> Facts:
        """Return the facts for the trace, without secrets. The decision about the account is added later."""
        verified, opening, provider = self.verified, self.opening, self.trusted.provider
        secrets = self.trusted.secrets
        claims, clipped = clean(verified.claims.raw, secrets)
        started = opening.pending_hash is not None
        of_browser = browser_checks(
            verified.claims.nonce,
            matches=started,
            started=started,
            elsewhere=opening.answered,
            is_bound=opening.is_bound,
        )
        return Facts(
            header=None if verified.header is None else clean(verified.header, secrets)[0],
            claims=claims,
            key=verified.key.fingerprint,
            checks=(*passed_checks(verified, provider, secrets), *of_browser),
            sent_to=clean_url(sent_to),
            clipped=clipped,
            checked_at=verified.checked_earlier,
        )

    def spending(self, prepared: SignInWrites) -> Spending:
        """Return what the sign-in spends: the token; or the answer to the question, if the person was asked first."""
        key, opening = self.verified.token_key, self.opening
        use = FirstUse(prepared.new.id_hash, opening.pending_hash, opening.return_path)
        if opening.answered:
            return Spending(answer_key(key), prepared.seconds + held.LIFETIME + REMEMBERED_LONGER, use)
        return Spending(key, self._acceptable_until, use)

    def spending_without_session(self) -> Spending:
        """Return what spends the token if no session is opened now."""
        return Spending(self.verified.token_key, self._acceptable_until)

    @property
    def _acceptable_until(self) -> int:
        return acceptable_until(self.verified.claims, self.trusted.provider)


@dataclass(frozen=True)
class SignInWrites:
    """What a sign-in makes before its transaction, so that other writers wait less: the time, sessions, and trace.

    `new` is the session to open. `extra` is an access token in addition to it, if the provider's settings want one.
    """

    now: datetime
    new: NewSession
    extra: NewSession | None
    facts: Facts

    @classmethod
    def of(cls, sign_in: TokenSignIn) -> SignInWrites:
        opening, now = sign_in.opening, utc_now()
        sent_to = None if opening.kind == API else opening.return_path
        extra = NewSession.generate() if opening.access_token else None
        return cls(now, NewSession.generate(), extra, sign_in.facts(sent_to))

    @property
    def seconds(self) -> int:
        """The time in whole seconds since 1970."""
        return int(self.now.timestamp())


def line_of_password(proven: Proven, opening: Opening, now: datetime) -> activity.Entry:
    """Return the line of the activity log for a session that was opened with a local password."""
    account = AccountDecision("found", "by e-mail address and password", proven.person.id)
    facts = Facts(account=account, sent_to=clean_url(opening.return_path))
    return activity.Entry(
        opening.reference,
        int(now.timestamp()),
        activity.SIGN_IN,
        opening.visitor,
        email=clean_id(proven.person.email),
        account_id=proven.person.id,
        detail="with a local password",
        trace=activity.trace_of(opening.visitor, facts),
    )


def _decision(found: accounts.Provisioned) -> AccountDecision:
    """Return the decision about the account, for the trace."""
    why = HOW[found.how]
    if found.is_older:
        why += "; nothing was synchronised, because the token is older than the last one"
    return AccountDecision(found.how, why, found.account_id, found.changed)
