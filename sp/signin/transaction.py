"""Run a sign-in as one transaction with one commit.

Either all of these happen or none: spending the token, changing the account, opening the session, logging. A failure in
the middle leaves neither an account nor a spent token. If Redis keeps the spent tokens, the token is spent there first,
and made unspent again if the transaction fails before its commit; docs/decisions/0008 explains the order.
`sp.signin.logbook` logs tokens that do not sign anyone in.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from shared.clock import utc_now
from shared.errors import CookiesBlocked, EmailConflict, TokenReplayed
from sp.accounts import rows as accounts
from sp.accounts.manage import Proven, confirm
from sp.accounts.provisioning import read_profile
from sp.activity import record as activity
from sp.activity.margin_rows import MarginBook
from sp.activity.record import Visitor
from sp.database.access import Database
from sp.metrics_counters import SIGNING_IN, STORE, TOTAL, VERIFY, counters
from sp.providers.apply import ProviderStore
from sp.providers.registry import Trusted
from sp.sessions import held
from sp.sessions.store import API, NewSession, Origin, SessionStore
from sp.signin.cleanup import Housekeeping
from sp.signin.opening import Opening
from sp.signin.preparation import ASKED, CREATED, RESTARTED, SignInWrites, TokenSignIn, line_of_password
from sp.signin.replay import FirstUse, ReplayCache
from sp.signin.verification import Verified

RESTART_WINDOW = 60  # seconds; two restarts within it, without a sign-in between them, are a redirect loop
ATTEMPTS = 3  # for a transaction that conflicts with another one
KEY_USE_EVERY = 60  # seconds between two writes of a key's last use


@dataclass(frozen=True)
class SignedIn:
    """A session that was opened. `secret` is its id for the client; `access_token` is set if one was requested."""

    secret: str
    account_id: int
    email: str
    created: bool
    reference: str
    access_token: str | None = None


class SignIn:
    """Opens sessions for people whose token or password was verified, each in one transaction."""

    def __init__(
        self,
        database: Database,
        replay_cache: ReplayCache,
        sessions: SessionStore,
        providers: ProviderStore,
        seat_limit: int,
        housekeeping: Housekeeping,
        margins: MarginBook,
    ) -> None:
        self._database = database
        self._replay, self._sessions, self._providers = replay_cache, sessions, providers
        self._seat_limit = seat_limit
        self._housekeeping, self._margins = housekeeping, margins
        self._key_noted_at: dict[int, float] = {}

    def with_token(self, verified: Verified, trusted: Trusted, opening: Opening) -> SignedIn:
        """Spend the token and open a session for its person, or raise a Rejection.

        If the person was asked "Continue as X?" first, `hold` has already spent the token. Then this method spends the
        person's answer instead, so that it too works only once. Raises NotHeld if the question is no longer open.
        """
        began = time.perf_counter_ns()
        sign_in = TokenSignIn.of(verified, trusted, opening)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                signed_in = self._enter(sign_in)
                break
            except IntegrityError as error:
                # On PostgreSQL, two first sign-ins of one person can collide. The next attempt finds the account.
                if attempt == ATTEMPTS:
                    raise EmailConflict("another sign-in took this e-mail address or ID at the same moment") from error
        _note_times(verified, began, time.perf_counter_ns())
        self._note_accepted(verified, trusted)
        return signed_in

    def _enter(self, sign_in: TokenSignIn) -> SignedIn:
        """Spend the token, and write all that follows from it, in one transaction."""
        prepared = SignInWrites.of(sign_in)
        lookup = accounts.AccountLookup(sign_in.trusted.provider.name, sign_in.profile)
        write = partial(self._write, sign_in, prepared, lookup)
        found = self._replay.spend(self._database, sign_in.spending(prepared), write, lookup.send)
        self._forget_replaced(sign_in.opening)
        if "admin_through" in found.changed:
            self._sessions.forget()  # the cache has other sessions of the account with their old rights
        created, reference = found.how == CREATED, sign_in.opening.reference
        access_token = prepared.extra.secret if prepared.extra else None
        return SignedIn(prepared.new.secret, found.account_id, found.email, created, reference, access_token)

    def _write(
        self, sign_in: TokenSignIn, prepared: SignInWrites, lookup: accounts.AccountLookup, connection: Connection
    ) -> accounts.Provisioned:
        """Write a sign-in, after its token is spent: the account, the session, the activity log."""
        provider, opening = sign_in.trusted.provider, sign_in.opening
        found = accounts.provision(connection, sign_in.profile, provider, self._seat_limit, prepared.now, lookup)
        if opening.answered:
            held.take(connection, sign_in.verified.token_key, prepared.seconds)
        origin = sign_in.origin(found.account_id)
        self._open(connection, prepared.new, origin, opening, prepared.now)
        if prepared.extra:
            self._sessions.open(
                connection, prepared.extra, origin, now=prepared.seconds, kind=API, opened_with=prepared.new
            )
        activity.record(connection, sign_in.line_of_sign_in(found, prepared))
        self._note_key_use(connection, sign_in.trusted.key_ids.get(sign_in.verified.key.fingerprint), prepared.now)
        return found

    def _open(self, connection: Connection, new: NewSession, origin: Origin, opening: Opening, now: datetime) -> None:
        """Open the session, and end the session whose id the browser sent."""
        if opening.replacing:
            self._sessions.replace(connection, opening.replacing)
        self._sessions.open(connection, new, origin, now=int(now.timestamp()), kind=opening.kind)

    def _forget_replaced(self, opening: Opening) -> None:
        """Drop the replaced session from the cache: another request may have read it before the commit."""
        if opening.replacing:
            self._sessions.forget_one(opening.replacing)

    def restart(self, verified: Verified, trusted: Trusted, visitor: Visitor, *, reference: str) -> None:
        """Spend an unsolicited token without opening a session.

        Raises CookiesBlocked if the same person's sign-in was restarted within RESTART_WINDOW and not completed. That
        means that the browser does not return our cookies, so a further restart would redirect it forever.
        """
        sign_in = TokenSignIn.of(verified, trusted, Opening(visitor, reference))
        provider, now = trusted.provider.name, utc_now()
        facts = sign_in.facts("/sso/start")

        def write(connection: Connection) -> None:
            since = int(now.timestamp()) - RESTART_WINDOW
            if activity.restarted_in_vain(connection, provider, sign_in.kept_subject, since):
                raise CookiesBlocked("the sign-in was restarted a moment ago, and the browser returned no cookie")
            line = sign_in.line(activity.RESTART, now, facts, email=sign_in.profile.email, detail=RESTARTED)
            activity.record(connection, line)

        self._replay.spend(self._database, sign_in.spending_without_session(), write)

    def hold(
        self, verified: Verified, trusted: Trusted, visitor: Visitor, *, reference: str, pending_hash: bytes
    ) -> None:
        """Spend a token, but open no session, because the person is asked first. After a yes, call `with_token`.

        Raises TokenReplayed if the token was used before. Redis may have lost its record of the first use, so a stored
        question about the token counts as a first use too.
        """
        sign_in = TokenSignIn.of(verified, trusted, Opening(visitor, reference, pending_hash=pending_hash))
        provider, profile, now = trusted.provider.name, sign_in.profile, utc_now()
        facts = sign_in.facts(None)
        row = (verified.token_key, provider, verified.claims, profile.subject, profile.email, pending_hash)

        def write(connection: Connection) -> None:
            try:
                held.hold(connection, *row, int(now.timestamp()))
            except IntegrityError as error:
                raise TokenReplayed("the token is already held") from error
            activity.record(connection, sign_in.line(activity.HELD, now, facts, email=profile.email, detail=ASKED))

        self._replay.spend(self._database, sign_in.spending_without_session(), write)
        self._note_accepted(verified, trusted)

    def _note_accepted(self, verified: Verified, trusted: Trusted) -> None:
        """Record how near the token was to a rejection, unless that was recorded at its earlier arrival."""
        self._housekeeping.note()
        if (received := verified.received) is not None:
            self._margins.note(trusted.provider.name, verified.claims, verified.checked_at, received.size)

    def with_password(self, proven: Proven, opening: Opening) -> SignedIn:
        """Open a session for a person whose password was verified.

        Raises PasswordChanged if the password has been changed since.
        """
        account_id, email, visitor = proven.person.id, proven.person.email, opening.visitor
        new, now = NewSession.generate(), utc_now()
        origin = Origin(account_id, visitor.ip, visitor.user_agent, opening.return_path)

        def write(connection: Connection) -> None:
            confirm(connection, proven)
            self._open(connection, new, origin, opening, now)
            activity.record(connection, line_of_password(proven, opening, now))
            accounts.note_sign_in(connection, account_id, now)

        self._database.together(write)
        self._forget_replaced(opening)
        self._housekeeping.note()
        return SignedIn(new.secret, account_id, email, False, opening.reference)

    def leads_to(self, account_id: int, verified: Verified, trusted: Trusted) -> bool:
        """Tell whether the token would sign in the account *account_id*, which already has the token's identity."""
        profile = read_profile(verified.claims, trusted.provider)
        with self._database.reading() as connection:
            account = accounts.find_by_identity(connection, trusted.provider.name, profile)
        return account is not None and account.id == account_id

    def first_use(self, key: bytes) -> FirstUse | None:
        """Return the data that was stored when the token was spent, or None."""
        return self._replay.first_use(self._database, key)

    def _note_key_use(self, connection: Connection, key_id: int | None, now: datetime) -> None:
        if key_id is None or time.monotonic() - self._key_noted_at.get(key_id, float("-inf")) < KEY_USE_EVERY:
            return
        self._key_noted_at[key_id] = time.monotonic()  # before the commit, so that others do not wait for this row
        self._providers.note_use(connection, key_id, now)


def _note_times(verified: Verified, began: int, ended: int) -> None:
    """Count how long each step took, unless a person was asked in between, which would count the person's time."""
    if verified.received is not None and verified.received.timed is not None:
        arrived, was_verified = verified.received.timed
        counters.duration(SIGNING_IN, VERIFY, was_verified - arrived)
        counters.duration(SIGNING_IN, STORE, ended - began)
        counters.duration(SIGNING_IN, TOTAL, ended - arrived)
