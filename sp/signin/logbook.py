"""Write rejections and sign-outs to the activity log.

The line of a successful sign-in is part of its transaction (`sp.signin.transaction`). The lines here have a transaction
each, and a refusal stays the same refusal if its line cannot be written. Tokens and passwords are never in a line.

Anyone can cause any number of refusals. So only some refusals get a line each (see `shared.folding`); more of the same
kind are counted in one line per hour (see `sp.activity.folds`). There are three separate budgets of lines, so that one
kind of sender cannot use up the lines of another: without a verified token, with one, and with a password.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import IntegrityError

from shared.clock import time_now
from shared.errors import Rejection, StoreUnavailable
from shared.folding import Budget, Count, Tally, size_of
from sp.accounts.provisioning import MAX_SUBJECT
from sp.activity import folds
from sp.activity import record as activity
from sp.activity.folds import Fold
from sp.activity.record import Visitor
from sp.database.access import Database
from sp.metrics_counters import counters
from sp.sessions.store import Session
from sp.signin.attempt import Attempt
from sp.signin.cleanup import Housekeeping

NOTHING_KNOWN = Attempt()
ROW_BYTES = 350  # size of a line with its index entries, without its longer texts

log = logging.getLogger("lychgate")


class Logbook:
    """Writes the lines of rejections and sign-outs."""

    def __init__(self, database: Database, housekeeping: Housekeeping) -> None:
        self._database = database
        self._housekeeping = housekeeping
        self._strangers, self._senders, self._passwords = Budget(), Budget(), Budget()
        self._tally = Tally(self._write_counts)

    def note_refusal(
        self,
        rejection: Rejection,
        visitor: Visitor,
        *,
        reference: str,
        attempt: Attempt = NOTHING_KNOWN,
    ) -> str:
        """Log a rejected token, with what is known of it; return the reference by which to find the line.

        That is *reference*, or the reference of the line that counts this kind of refusal.
        """
        known = _known_of(attempt)
        budget = self._senders if attempt.verified else self._strangers
        found_by = self._refused(budget, visitor, reference, code=rejection.code, detail=rejection.detail, **known)
        text = "refused: %s, provider %s, reference %s: %s"
        named = {"event": activity.REFUSED, "reference": found_by, "code": rejection.code}
        log.info(text, rejection.code, known.get("provider"), found_by, rejection.detail, extra=named)
        return found_by

    def note_local_refusal(self, email: str | None, visitor: Visitor, *, reference: str, detail: str, code: str) -> str:
        """Log a refused local sign-in; return the reference by which to find the line, as `note_refusal` does."""
        local = f"local sign-in: {detail}"
        found_by = self._refused(self._passwords, visitor, reference, code=code, email=email, detail=local)
        named = {"event": activity.REFUSED, "reference": found_by, "code": code}
        log.info("refused: local sign-in, reference %s: %s", found_by, detail, extra=named)
        return found_by

    def note_sign_out(self, session: Session, visitor: Visitor, *, reference: str) -> None:
        """Log a sign-out. Raises StoreUnavailable."""
        with self._database.writing() as connection:
            activity.record(
                connection,
                activity.Entry(
                    reference=reference,
                    at=int(time_now()),
                    event=activity.SIGN_OUT,
                    visitor=visitor,
                    provider=session.provider,
                    email=session.email,
                    account_id=session.account_id,
                ),
            )

    def flush(self) -> None:
        """Write the counts that are not in the database yet."""
        self._tally.flush()

    def _refused(
        self, budget: Budget, visitor: Visitor, reference: str, *, code: str, provider: str | None = None, **known: Any
    ) -> str:
        self._housekeeping.note()
        now = int(time_now())
        if budget.take((code, provider), _size(visitor, **known)):
            self._try_to_write(visitor, reference, now, code=code, provider=provider, **known)
            return reference
        counters.event(activity.REFUSED, code)
        fold = Fold.at(now, code, provider)
        self._tally.count(fold, now)
        return fold.reference

    def _try_to_write(self, visitor: Visitor, reference: str, now: int, **known: Any) -> None:
        try:
            with self._database.writing() as connection:
                activity.record(
                    connection,
                    activity.Entry(reference=reference, at=now, event=activity.REFUSED, visitor=visitor, **known),
                )
        except (StoreUnavailable, IntegrityError) as error:
            log.error("the refusal %s could not be written to the activity log: %s", reference, type(error).__name__)

    def _write_counts(self, counts: Mapping[Fold, Count]) -> None:
        with self._database.writing() as connection:
            folds.add(connection, counts)


def _known_of(attempt: Attempt) -> dict[str, Any]:
    """Return the columns of the line that describe the token."""
    known: dict[str, Any] = {"provider": attempt.provider.name if attempt.provider else None}
    if attempt.verified is not None:
        email, subject = attempt.verified.claims.raw.get("email"), attempt.verified.claims.subject
        known["email"] = email if isinstance(email, str) else None
        known["subject"] = subject[:MAX_SUBJECT] if subject else None
        known["token_key"] = attempt.verified.token_key
    return known


def _size(
    visitor: Visitor, *, detail: str, email: str | None = None, subject: str | None = None, **_short: object
) -> int:
    """Return the approximate size of the line in bytes. E-mail and subject count twice: they are also in an index."""
    return size_of(ROW_BYTES, visitor.user_agent[:200], detail[:1000], *(2 * (email, subject)))
