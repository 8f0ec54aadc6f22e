"""Apply an identity provider's sign-out: spend the token and end the sessions in one transaction."""

from __future__ import annotations

from shared.clock import time_now
from sp.activity import record as activity
from sp.activity.record import Visitor
from sp.database.access import Database
from sp.sessions.sign_out import SignOut
from sp.sessions.store import SessionStore
from sp.signin.replay import ReplayCache, Trace, token_key


class SignOuts:
    """Ends sessions as verified sign-out tokens say."""

    def __init__(self, database: Database, replay: ReplayCache, sessions: SessionStore) -> None:
        self._database = database
        self._replay, self._sessions = replay, sessions

    def apply(self, sign_out: SignOut, visitor: Visitor, *, reference: str, only: bytes | None = None) -> int:
        """Spend the token, end the sessions that it names, and return how many there were.

        With *only*, the hash of a session's id, no other session ends. Raises TokenReplayed, StoreUnavailable.
        """
        key = token_key(sign_out.provider, sign_out.token_id)
        now = int(time_now())
        with self._replay.spending(self._database, key, sign_out.until, Trace()) as connection:
            ended = self._sessions.end_at_provider(connection, sign_out, only=only)
            activity.record(
                connection,
                reference=reference,
                at=now,
                event=activity.SIGN_OUT,
                visitor=visitor,
                provider=sign_out.provider,
                subject=min(sign_out.subjects, default=None),
                detail=f"at the identity provider's word; sessions ended: {ended}",
                token_key=key,
            )
        self._sessions.forget()
        return ended
