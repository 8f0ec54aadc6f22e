"""A sign-in: one transaction with one commit.

Spending the token, creating or changing the account, opening the session and noting it in the activity log happen
together or not at all. A failure in the middle leaves neither an account nor a spent token. What signs nobody in is
written down by `sp.stores.logbook`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from shared.claims import Claims
from shared.errors import CookiesBlocked, EmailConflict
from sp.provisioning import Profile, read_profile
from sp.registry import Trusted
from sp.replay import ReplayCache, Trace, token_key
from sp.sessions import API, BROWSER, NewSession, SessionStore
from sp.stores import accounts, activity
from sp.stores.activity import Visitor
from sp.stores.database import must_answer
from sp.stores.housekeeping import Housekeeping
from sp.stores.provider_store import ProviderStore
from sp.verification import Verified, acceptable_until

RESTART_WINDOW = 60  # seconds within which a second restart without a sign-in between them means a loop
MAX_PROVIDER_SESSION = 512  # characters
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
    ) -> SignedIn:
        """Spend the token and open a session for its person, or raise the Rejection that says why not.

        With *access_token* a second session, for a client without a browser, is opened beside it, and ends with it.
        *replacing*, the hash of a session's id, is what the browser has presented: that session ends.
        """
        profile = read_profile(verified.claims, trusted.provider)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                signed_in = self._open(
                    verified,
                    trusted,
                    profile,
                    visitor,
                    reference,
                    kind,
                    Trace(None, pending_hash, return_path),
                    access_token,
                    replacing,
                )
                break
            except IntegrityError as error:
                # On PostgreSQL two first sign-ins of one person can meet; at the next look the account is there.
                if attempt == ATTEMPTS:
                    raise EmailConflict("another sign-in took this address or id at the same moment") from error
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
    ) -> SignedIn:
        provider, claims = trusted.provider, verified.claims
        key = token_key(provider.name, claims.token_id or "")
        new = NewSession.generate()
        extra = NewSession.generate() if access_token else None
        now = datetime.now(UTC)
        trace = replace(trace, session_hash=new.id_hash)
        with self._spending(key, acceptable_until(claims, provider), trace) as connection:
            account_id, email, created = accounts.provision(connection, profile, provider, self._seat_limit, now)
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
                        provider_session=_provider_session(claims),
                        claims=claims.raw,
                        address=visitor.address,
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
        """Spend a token that nobody here asked for, without opening anything.

        Raises CookiesBlocked if that happened to the person a moment ago and nothing came of it: the browser does
        not return our cookies, and would be sent round for ever.
        """
        provider, claims = trusted.provider, verified.claims
        profile = read_profile(claims, provider)
        key = token_key(provider.name, claims.token_id or "")
        now = int(time.time())
        with self._spending(key, acceptable_until(claims, provider), Trace()) as connection:
            if activity.restarted_in_vain(connection, provider.name, profile.subject, now - RESTART_WINDOW):
                raise CookiesBlocked("the sign-in was restarted a moment ago, and the browser returned no cookie")
            activity.record(
                connection,
                reference=reference,
                at=now,
                event=activity.RESTART,
                visitor=visitor,
                provider=provider.name,
                subject=profile.subject,
                email=profile.email,
                token_key=key,
            )

    def with_password(
        self,
        account_id: int,
        email: str,
        visitor: Visitor,
        *,
        reference: str,
        return_path: str,
        replacing: bytes | None = None,
    ) -> SignedIn:
        """Open a session for a person whose password was right, in place of the one that the browser has presented."""
        new = NewSession.generate()
        now = int(time.time())
        with must_answer(), self._writing.begin() as connection:
            if replacing:
                self._sessions.replace(connection, replacing)
            self._sessions.open(
                connection,
                new,
                account_id=account_id,
                now=now,
                address=visitor.address,
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
        with must_answer(), self._engine.connect() as connection:
            return self._replay.trace(connection, key)

    @contextmanager
    def _spending(self, key: bytes, until: int, trace: Trace) -> Iterator[Connection]:
        """A transaction that spends *key* first; what fails before its commit leaves the token unspent."""
        with must_answer(), self._writing.begin() as connection:
            self._replay.spend(connection, key, until, trace)
            try:
                yield connection
            except Exception:
                self._replay.unspend(key)
                raise

    def _note_key_use(self, connection: Connection, key_id: int | None, now: datetime) -> None:
        if key_id is None or time.monotonic() - self._key_noted_at.get(key_id, float("-inf")) < KEY_USE_EVERY:
            return
        self._key_noted_at[key_id] = time.monotonic()
        self._providers.note_use(connection, key_id, now)


def _provider_session(claims: Claims) -> str | None:
    """Return the name of the provider's own session, by which it may end ours. One that fits nowhere is none."""
    sid = claims.raw.get("sid")
    return sid if isinstance(sid, str) and 0 < len(sid) <= MAX_PROVIDER_SESSION and sid.isprintable() else None
