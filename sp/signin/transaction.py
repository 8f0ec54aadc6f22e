"""Run a sign-in as one transaction with one commit.

Spending the token, creating or changing the account, opening the session and noting it in the activity log happen
together or not at all. A failure in the middle leaves neither an account nor a spent token. Where Redis keeps spent
tokens, the token is spent there first and spent back after a failure; docs/decisions/0008 has the order and why.
`sp.signin.logbook` logs tokens that do not sign anyone in.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from shared.clock import time_now, utc_now
from shared.errors import CookiesBlocked, EmailConflict
from sp.accounts import rows as accounts
from sp.accounts.manage import Proven, confirm
from sp.accounts.provisioning import Profile, read_profile
from sp.activity import record as activity
from sp.activity.record import Visitor
from sp.database.errors import must_answer
from sp.providers.apply import ProviderStore
from sp.providers.registry import Trusted
from sp.sessions import held
from sp.sessions.ending import provider_session_of
from sp.sessions.store import API, BROWSER, NewSession, SessionStore
from sp.signin.cleanup import Housekeeping
from sp.signin.replay import ReplayCache, Trace, answer_key
from sp.signin.verification import REMEMBERED_LONGER, Verified, acceptable_until

RESTART_WINDOW = 60  # seconds within which a second restart without a sign-in between them means a loop
ATTEMPTS = 3  # of a transaction that met another one
KEY_USE_EVERY = 60  # seconds between two notes that a key was used


@dataclass(frozen=True)
class SignedIn:
    """A session that was opened: `secret` for the client, once; `return_path` is where the browser goes."""

    secret: str
    account_id: int
    email: str
    created: bool
    reference: str
    access_token: str | None = None


class SignIn:
    """Turns verified tokens into sessions."""

    def __init__(
        self,
        engine: Engine,
        replay_cache: ReplayCache,
        sessions: SessionStore,
        providers: ProviderStore,
        seat_limit: int,
        housekeeping: Housekeeping,
    ) -> None:
        self._engine = engine
        self._writing = engine.execution_options(write=True)
        self._replay, self._sessions, self._providers = replay_cache, sessions, providers
        self._seat_limit = seat_limit
        self._housekeeping = housekeeping
        self._key_noted_at: dict[int, float] = {}

    def with_token(
        self,
        verified: Verified,
        trusted: Trusted,
        visitor: Visitor,
        *,
        reference: str,
        kind: str = BROWSER,
        return_path: str = "/",
        pending_hash: bytes | None = None,
        access_token: bool = False,
        replacing: bytes | None = None,
        answered: bool = False,
    ) -> SignedIn:
        """Spend the token and open a session for its person, or raise the Rejection that says why not.

        *answered* tells that `hold` has spent the token, and the person has said yes: then the answer is spent. Raises
        NotHeld if the question has been closed since.

        With *access_token* a second session, for a client without a browser, is opened beside it, and ends with it.
        *replacing*, the hash of a session's id, is what the browser has presented: that session ends.
        """
        profile = read_profile(verified.claims, trusted.provider)
        how = (kind, Trace(None, pending_hash, return_path), access_token, replacing, answered)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                signed_in = self._open(verified, trusted, profile, visitor, reference, *how)
                break
            except IntegrityError as error:
                # On PostgreSQL two first sign-ins of one person can meet; at the next look the account is there.
                if attempt == ATTEMPTS:
                    raise EmailConflict("another sign-in took this e-mail address or ID at the same moment") from error
        self._housekeeping.note()
        return signed_in

    def _open(
        self,
        verified: Verified,
        trusted: Trusted,
        profile: Profile,
        visitor: Visitor,
        reference: str,
        kind: str,
        trace: Trace,
        access_token: bool,
        replacing: bytes | None,
        answered: bool,
    ) -> SignedIn:
        provider, claims = trusted.provider, verified.claims
        key = verified.token_key
        new = NewSession.generate()
        extra = NewSession.generate() if access_token else None
        now = utc_now()
        trace = replace(trace, session_hash=new.id_hash)
        spent, until = key, acceptable_until(claims, provider)
        if answered:
            spent, until = answer_key(key), int(now.timestamp()) + held.LIFETIME + REMEMBERED_LONGER
        with must_answer(), self._replay.spending(self._writing, spent, until, trace) as connection:
            account_id, email, created = accounts.provision(connection, profile, provider, self._seat_limit, now)
            if answered:
                held.take(connection, key, int(now.timestamp()))
            if replacing:
                self._sessions.replace(connection, replacing)
            for session, session_kind in ((new, kind), (extra, API)):
                if session is not None:
                    self._sessions.open(
                        connection,
                        session,
                        account_id=account_id,
                        now=int(now.timestamp()),
                        kind=session_kind,
                        provider=provider.name,
                        subject=profile.subject,
                        provider_session=provider_session_of(claims),
                        claims=claims.raw,
                        ip=visitor.ip,
                        user_agent=visitor.user_agent,
                        return_path=trace.return_path or "/",
                        opened_with=new if session is extra else None,
                    )
            activity.record(
                connection,
                reference=reference,
                at=int(now.timestamp()),
                event=activity.SIGN_IN,
                visitor=visitor,
                provider=provider.name,
                subject=profile.subject,
                email=email,
                account_id=account_id,
                detail="account created" if created else None,
                token_key=key,
            )
            self._note_key_use(connection, trusted.key_ids.get(verified.key.fingerprint), now)
        return SignedIn(new.secret, account_id, email, created, reference, extra.secret if extra else None)

    def restart(self, verified: Verified, trusted: Trusted, visitor: Visitor, *, reference: str) -> None:
        """Spend an unsolicited token, without opening anything.

        Raises CookiesBlocked if that happened to the person a moment ago without a sign-in since: the browser does not
        return our cookies, and would be redirected for ever.
        """
        self._set_aside(verified, trusted, visitor, reference, activity.RESTART)

    def hold(
        self, verified: Verified, trusted: Trusted, visitor: Visitor, *, reference: str, pending_hash: bytes
    ) -> None:
        """Spend a token whose person is asked first, without opening anything; `with_token` follows the answer."""
        self._set_aside(verified, trusted, visitor, reference, activity.HELD, pending_hash)
        self._housekeeping.note()

    def _set_aside(
        self,
        verified: Verified,
        trusted: Trusted,
        visitor: Visitor,
        reference: str,
        event: str,
        held_for: bytes | None = None,
    ) -> None:
        provider, claims = trusted.provider, verified.claims
        profile = read_profile(claims, provider)
        key = verified.token_key
        now, until = int(time_now()), acceptable_until(claims, provider)
        with must_answer(), self._replay.spending(self._writing, key, until, Trace()) as connection:
            again = activity.restarted_in_vain(connection, provider.name, profile.subject, now - RESTART_WINDOW)
            if again and event == activity.RESTART:
                raise CookiesBlocked("the sign-in was restarted a moment ago, and the browser returned no cookie")
            if held_for is not None:
                held.hold(connection, key, provider.name, claims, profile.subject, profile.email, held_for, now)
            activity.record(
                connection,
                reference=reference,
                at=now,
                event=event,
                visitor=visitor,
                provider=provider.name,
                subject=profile.subject,
                email=profile.email,
                token_key=key,
            )

    def with_password(
        self, proven: Proven, visitor: Visitor, *, reference: str, return_path: str, replacing: bytes | None = None
    ) -> SignedIn:
        """Open a session for a person whose password was right, in place of the one that the browser has presented.

        Raises PasswordChanged if the password is another one by now.
        """
        account_id, email = proven.person.id, proven.person.email
        new = NewSession.generate()
        now = int(time_now())
        with must_answer(), self._writing.begin() as connection:
            confirm(connection, proven)
            if replacing:
                self._sessions.replace(connection, replacing)
            self._sessions.open(
                connection,
                new,
                account_id=account_id,
                now=now,
                ip=visitor.ip,
                user_agent=visitor.user_agent,
                return_path=return_path,
            )
            activity.record(
                connection,
                reference=reference,
                at=now,
                event=activity.SIGN_IN,
                visitor=visitor,
                email=email,
                account_id=account_id,
                detail="with a local password",
            )
            accounts.note_sign_in(connection, account_id, datetime.fromtimestamp(now, UTC))
        self._housekeeping.note()
        return SignedIn(new.secret, account_id, email, False, reference)

    def trace(self, key: bytes) -> Trace | None:
        """Return what a spent token left, or None."""
        with must_answer():
            return self._replay.trace(self._engine, key)

    def _note_key_use(self, connection: Connection, key_id: int | None, now: datetime) -> None:
        if key_id is None or time.monotonic() - self._key_noted_at.get(key_id, float("-inf")) < KEY_USE_EVERY:
            return
        self._key_noted_at[key_id] = time.monotonic()
        self._providers.note_use(connection, key_id, now)
