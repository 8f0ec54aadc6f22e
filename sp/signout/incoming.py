"""Apply an identity provider's sign-out. First verify its token. Then spend it and end sessions in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from shared.clock import time_now
from shared.errors import TokenMissing
from sp.activity import record as activity
from sp.activity.cleaning import clean, clean_id
from sp.activity.record import Visitor
from sp.activity.trace import PASSED, CheckResult, Facts
from sp.database.access import Database
from sp.providers.registry import ProviderRegistry, Trusted
from sp.sessions.provider_sign_out import SignOut
from sp.sessions.store import SessionStore
from sp.signin.attempt import known
from sp.signin.replay import ReplayCache, Spending
from sp.signin.verification import token_key
from sp.signout.signer import verify_by_any


class SignOuts:
    """Ends the sessions that providers' sign-out tokens name. *our_url* is the issuer of the gateway's own tokens."""

    def __init__(
        self, database: Database, replay: ReplayCache, sessions: SessionStore, registry: ProviderRegistry, our_url: str
    ) -> None:
        self._database = database
        self._replay, self._sessions = replay, sessions
        self._registry, self._our_url = registry, our_url

    def back_channel(self, tokens: Sequence[str], visitor: Visitor, *, reference: str) -> int:
        """End every session that the token names, and return how many ended. Raises Rejection if it is not valid."""
        return self._apply(tokens, visitor, reference, back_channel=True)

    def front_channel(self, tokens: Sequence[str], visitor: Visitor, *, reference: str, only: bytes) -> int:
        """End the session with the id hash *only* if the token names it. Raises Rejection if the token is not valid."""
        return self._apply(tokens, visitor, reference, back_channel=False, only=only)

    def _apply(
        self,
        tokens: Sequence[str],
        visitor: Visitor,
        reference: str,
        *,
        back_channel: bool,
        only: bytes | None = None,
    ) -> int:
        if len(tokens) != 1 or not tokens[0]:
            raise TokenMissing("exactly one sign-out token is required")
        trusted, sign_out = verify_by_any(
            tokens[0], self._registry.enabled(), time_now, our_url=self._our_url, back_channel=back_channel
        )
        with known(trusted.provider):
            return self._end(sign_out, trusted, visitor, reference, only)

    def _end(self, sign_out: SignOut, trusted: Trusted, visitor: Visitor, reference: str, only: bytes | None) -> int:
        """Spend the token, end the sessions that it names, and return how many ended."""
        key = token_key(sign_out.provider, sign_out.token_id)

        def end(connection: Connection) -> int:
            ended = self._sessions.end_at_provider(connection, sign_out, only=only)
            activity.record(connection, _line(sign_out, trusted, visitor, reference, ended))
            return ended

        ended = self._replay.spend(self._database, Spending(key, sign_out.until), end)
        self._sessions.forget()
        return ended


def _line(sign_out: SignOut, trusted: Trusted, visitor: Visitor, reference: str, ended: int) -> activity.Entry:
    return activity.Entry(
        reference=reference,
        at=int(time_now()),
        event=activity.SIGN_OUT,
        visitor=visitor,
        provider=sign_out.provider,
        subject=clean_id(min(sign_out.subjects), trusted.secrets) if sign_out.subjects else None,
        detail=f"requested by the identity provider; sessions ended: {ended}",
        token_key=token_key(sign_out.provider, sign_out.token_id),
        trace=activity.trace_of(visitor, _facts(sign_out, trusted, ended)),
    )


def _facts(sign_out: SignOut, trusted: Trusted, ended: int) -> Facts:
    """Return the facts about the sign-out for the trace, without secrets."""
    claims, clipped = clean(sign_out.claims, trusted.secrets)
    return Facts(
        header=clean(sign_out.header, trusted.secrets)[0],
        claims=claims,
        key=sign_out.key,
        checks=(
            CheckResult("signature", PASSED, f"{trusted.provider.algorithm}, with the key {sign_out.key}"),
            CheckResult("sign_out", PASSED, f"sessions ended: {ended}"),
        ),
        clipped=clipped,
    )
