"""Apply an identity provider's sign-out: spend the token and end the sessions in one transaction."""

from __future__ import annotations

from sqlalchemy import Engine

from shared.clock import time_now
from sp.activity import record as activity
from sp.activity.record import Visitor
from sp.database.errors import must_answer
from sp.sessions.sign_out import SignOut
from sp.sessions.store import SessionStore
from sp.signin.replay import ReplayCache, Trace
from sp.signin.verification import token_key


class SignOuts:
    """Ends sessions as verified sign-out tokens say."""

    def __init__(self, engine: Engine, replay: ReplayCache, sessions: SessionStore) -> None:
        self._writing = engine.execution_options(write=True)
        self._replay, self._sessions = replay, sessions

    def apply(self, sign_out: SignOut, visitor: Visitor, *, reference: str, only: bytes | None = None) -> int:
        """Spend the token, end the sessions that it names, and return how many there were.

        With *only*, the hash of a session's id, no other session ends. Raises TokenReplayed, StoreUnavailable.
        """
        key = token_key(sign_out.provider, sign_out.token_id)
        now = int(time_now())
        with must_answer(), self._replay.spending(self._writing, key, sign_out.until, Trace()) as connection:
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
