"""Write rejections and sign-outs to the activity log.

The line of a successful sign-in is part of its transaction (`sp.signin.transaction`). Each line here has its own
transaction, and if a line cannot be written, the answer to the person stays the same. No line contains a token or
password.

Anyone can cause any number of refusals. So only some refusals get a line each (see `shared.folding`); more of the same
kind are counted in one line per hour (see `sp.activity.folds`). There are three separate budgets of lines: for senders
without a verified token, with a verified token, and with a password. So one kind of sender cannot use up the lines of
another. Only a refusal with a line is explained, because finding the cause takes longer than the refusal itself. Its
line, with its trace, takes at most MAX_ROW bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy.exc import IntegrityError

from shared.clock import time_now
from shared.errors import Rejection, StoreUnavailable
from shared.folding import Budget, Count, Tally, size_of
from shared.tokens import redact
from sp.activity import folds
from sp.activity import record as activity
from sp.activity.cleaning import clean_id, clean_url, clip_bytes, storable
from sp.activity.folds import Fold
from sp.activity.record import Visitor
from sp.activity.trace import AccountDecision, Explained, Facts
from sp.database.access import Database
from sp.metrics_counters import counters
from sp.sessions.store import Session
from sp.signin.attempt import Attempt
from sp.signin.cleanup import Housekeeping

NOTHING_KNOWN = Attempt()
MAX_ROW = 1024  # bytes on the disk of a line that a stranger caused, with its trace and its index entries
ROW_BYTES = 350  # bytes of such a line with its index entries, without its longer texts
MAX_CAUSE, MAX_USER_AGENT, MAX_EMAIL, MAX_SUBJECT = 240, 120, 100, 60  # bytes of its texts

log = logging.getLogger("lychgate")


class Logbook:
    """Writes the lines of rejections and sign-outs. *secrets* returns the texts to remove from each line."""

    def __init__(
        self, database: Database, housekeeping: Housekeeping, secrets: Callable[[], Collection[str]] = tuple
    ) -> None:
        self._database = database
        self._housekeeping = housekeeping
        self._secrets = secrets
        self._strangers, self._senders, self._passwords = Budget(), Budget(), Budget()
        self._tally = Tally(self._write_counts)

    def note_refusal(
        self,
        rejection: Rejection,
        visitor: Visitor,
        *,
        reference: str,
        attempt: Attempt = NOTHING_KNOWN,
        explain: Callable[[], Explained] | None = None,
    ) -> str:
        """Log a rejected token with the facts about it; return the reference by which to find the line.

        The result is *reference*, or the reference of the line that counts this kind of refusal. *explain* finds the
        cause.
        """
        known = _known_of(attempt)
        budget = self._senders if attempt.verified else self._strangers
        plain = Explained(rejection.detail, Facts())
        found_by, cause = self._refused(
            budget, visitor, reference, explain or (lambda: plain), code=rejection.code, plain=plain, **known
        )
        text = "refused: %s, provider %s, reference %s: %s"
        named = _named(found_by, rejection.code)
        log.info(text, rejection.code, known.get("provider"), found_by, cause, extra=named)
        return found_by

    def note_local_refusal(
        self,
        email: str | None,
        visitor: Visitor,
        *,
        reference: str,
        detail: str,
        code: str,
        explain: Callable[[], str] | None = None,
    ) -> str:
        """Log a rejected local sign-in; return the reference by which to find the line, as `note_refusal` does.

        *explain* finds the cause, which the person is not told.
        """

        def explained() -> Explained:
            cause = f"local sign-in: {explain() if explain else detail}"
            return Explained(cause, Facts(account=AccountDecision("refused", cause), sent_to="/login"))

        plain = Explained(f"local sign-in: {detail}", Facts())
        found_by, _cause = self._refused(
            self._passwords, visitor, reference, explained, code=code, plain=plain, email=email
        )
        log.info("refused: local sign-in, reference %s: %s", found_by, detail, extra=_named(found_by, code))
        return found_by

    def note_sign_out(self, session: Session, visitor: Visitor, *, reference: str, sent_to: str | None = None) -> None:
        """Log a sign-out that redirects to the URL *sent_to*. Raises StoreUnavailable."""
        with self._database.writing() as connection:
            activity.record(
                connection,
                activity.Entry(
                    reference=reference,
                    at=int(time_now()),
                    event=activity.SIGN_OUT,
                    visitor=visitor,
                    provider=session.provider,
                    email=clean_id(session.email, self._secrets()),
                    account_id=session.account_id,
                    detail="requested by the person",
                    trace=activity.trace_of(
                        visitor,
                        Facts(
                            account=AccountDecision("found", "by the session", session.account_id),
                            sent_to=clean_url(sent_to),
                        ),
                    ),
                ),
            )

    def flush(self) -> None:
        """Write the counts that are not in the database yet."""
        self._tally.flush()

    def _refused(
        self,
        budget: Budget,
        visitor: Visitor,
        reference: str,
        explain: Callable[[], Explained],
        *,
        plain: Explained,
        code: str,
        provider: str | None = None,
        **known: Any,
    ) -> tuple[str, str]:
        """Write a line, or only count the refusal. Return the reference by which to find the line, and the cause."""
        self._housekeeping.note()
        now, kind = int(time_now()), (code, provider)
        if not budget.take(kind, MAX_ROW):
            return self._counted(now, code, provider), plain.cause
        explained = _tried(explain, plain)
        known = self._clean_ids(known)
        line, size = _line(visitor, reference, now, explained, code=code, provider=provider, **known)
        budget.give_back(kind, MAX_ROW - size)
        self._try_to_write(line)
        return reference, explained.cause

    def _counted(self, now: int, code: str, provider: str | None) -> str:
        """Count a refusal with others of its kind; return the reference of their line."""
        counters.event(activity.REFUSED, code)
        fold = Fold.at(now, code, provider)
        self._tally.count(fold, now)
        return fold.reference

    def _clean_ids(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """Return *known* with e-mail and subject cleaned of secrets; each is None if it is missing."""
        ids = {column: known.get(column) for column in ("email", "subject")}
        return {**known, **{column: clean_id(text, self._secrets()) if text else None for column, text in ids.items()}}

    def _try_to_write(self, line: activity.Entry) -> None:
        try:
            with self._database.writing() as connection:
                activity.record(connection, line)
        except (StoreUnavailable, IntegrityError, ValueError) as error:  # the driver rejected a text
            log.error(
                "the refusal %s could not be written to the activity log: %s", line.reference, type(error).__name__
            )

    def _write_counts(self, counts: Mapping[Fold, Count]) -> None:
        with self._database.writing() as connection:
            folds.add(connection, counts)


def _named(reference: str, code: str) -> dict[str, str]:
    """Return the members of a JSON log line besides its message."""
    return {"event": activity.REFUSED, "reference": reference, "code": code}


def _known_of(attempt: Attempt) -> dict[str, Any]:
    """Return the columns of the line that describe the token."""
    known: dict[str, Any] = {"provider": attempt.provider.name if attempt.provider else None}
    if attempt.verified is not None:
        email, subject = attempt.verified.claims.raw.get("email"), attempt.verified.claims.subject
        known["email"] = email if isinstance(email, str) else None
        known["subject"] = subject
        known["token_key"] = attempt.verified.token_key
    return known


def _tried(explain: Callable[[], Explained], plain: Explained) -> Explained:
    """Return the explanation, or *plain* after an error: an error in finding a cause must not change the answer."""
    try:
        return explain()
    except Exception:
        log.exception("the cause of a refusal could not be found")
        return plain


def _line(
    visitor: Visitor,
    reference: str,
    now: int,
    explained: Explained,
    *,
    email: str | None = None,
    subject: str | None = None,
    **known: Any,
) -> tuple[activity.Entry, int]:
    """Return the line of a refusal, clipped to MAX_ROW bytes, and its approximate size.

    E-mail and subject count twice: they are also in an index.
    """
    cause = clip_bytes(storable(redact(explained.cause)), MAX_CAUSE)
    email, subject = (
        text and clip_bytes(storable(text), n) for text, n in ((email, MAX_EMAIL), (subject, MAX_SUBJECT))
    )
    visitor = replace(visitor, user_agent=clip_bytes(storable(visitor.user_agent), MAX_USER_AGENT))
    size = size_of(ROW_BYTES, visitor.user_agent, cause, *(2 * (email, subject)))
    trace = activity.trace_of(visitor, explained.facts, MAX_ROW - size)
    line = activity.Entry(
        reference, now, activity.REFUSED, visitor, email=email, subject=subject, detail=cause, trace=trace, **known
    )
    return line, size + len(trace or b"")
