"""Run trial sign-ins: report what would happen, without opening a session or changing an account.

An administrator tests a provider before people depend on it. The token that the provider sends is validated as at a
sign-in, check by check, and its account is looked up in the same way. One effect is permanent: a valid token is spent,
so that it cannot sign anyone in afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError

from shared.clock import time_now, utc_now
from shared.errors import Rejection, TokenReplayed
from sp.accounts import rows as accounts
from sp.accounts.provisioning import COLUMNS, Admit, read_profile
from sp.activity import record as activity
from sp.activity.cleaning import clean_id
from sp.activity.record import Visitor
from sp.activity.trace import Facts
from sp.database.access import Database
from sp.database.models import Trial
from sp.diagnosis.trial_report import examine, refusal, report_without_token, shown_pairs, storable
from sp.diagnosis.trial_trace import trial_cause, trial_content, trial_facts
from sp.providers.registry import Trusted
from sp.signin.pending import Pending
from sp.signin.replay import ReplayCache, Spending
from sp.signin.verification import Verified, acceptable_until

NOTHING = Facts()
KEPT = 86400  # seconds for which a report is available
CLEAN_UP_ROWS = 100
MOST_READ = 100  # trials that are read to find the last use of each key

_trial: Any = Trial.__table__


@dataclass(frozen=True)
class Tried:
    """A finished trial. `report` is the result of `Trials.conclude`; times are in seconds since 1970.

    `ended_at` is when the token arrived.
    """

    id: str
    provider: str
    account_id: int
    ended_at: int
    report: Mapping[str, Any]


class Trials:
    """Validates the tokens of trials and stores the reports for a day.

    *secrets* returns the secrets to remove from log lines.
    """

    def __init__(
        self, database: Database, replay_cache: ReplayCache, seat_limit: int, secrets: Callable[[], Collection[str]]
    ) -> None:
        self._database, self._secrets = database, secrets
        self._replay, self._seat_limit = replay_cache, seat_limit

    def conclude(
        self, pending: Pending, unverified_token: str, trusted: Trusted, visitor: Visitor, *, reference: str
    ) -> None:
        """Validate the token of a trial, spend it if it is valid, and keep the report. Raises StoreUnavailable."""
        if self.find(pending.trial, pending.trial_by) is not None:
            return  # the same form was sent twice: keep the first report
        verified, report = examine(unverified_token, trusted, pending.nonce, time_now())
        provider, content = trusted.provider.name, trial_content(unverified_token, verified, trusted.secrets)
        try:
            if verified is not None and report["outcome"] is None:

                def rehearse(connection: Connection) -> None:
                    outcome = self._rehearse(connection, verified, trusted)
                    self._file(
                        connection, pending, provider, report | {"outcome": outcome}, visitor, reference, content
                    )

                until = acceptable_until(verified.claims, trusted.provider)
                self._replay.spend(self._database, Spending(verified.token_key, until), rehearse)
                return
        except TokenReplayed as rejection:
            report["outcome"] = refusal(rejection.code, rejection.detail, rejection.remedy)
        with self._database.writing() as connection:
            self._file(connection, pending, provider, report, visitor, reference, content)

    def inspect(self, unverified_token: str, trusted: Trusted) -> dict[str, Any]:
        """Return the report on a token that an administrator pasted. The token is not spent, stored or logged."""
        verified, report = examine(unverified_token, trusted, None, time_now())
        if verified is not None and report["outcome"] is None:
            report["outcome"] = self._look_up(verified, trusted)
        shown: dict[str, Any] = storable(report)
        return shown

    def fail(self, pending: Pending, rejection: Rejection, provider: str, visitor: Visitor, *, reference: str) -> None:
        """Store the report of a trial that got no token, or got one in a way that is not allowed."""
        report = report_without_token(rejection)
        if self.find(pending.trial, pending.trial_by) is None:
            with self._database.writing() as connection:
                self._file(connection, pending, provider, report, visitor, reference)

    def find(self, trial_id: str, account_id: int) -> Tried | None:
        """Return the trial, if this administrator started it."""
        query = select(_trial).where(_trial.c.id == trial_id, _trial.c.account_id == account_id)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return Tried(row.id, row.provider, row.account_id, _end_of(row), row.report) if row else None

    def uses_of_keys(self) -> dict[tuple[str, str], datetime]:
        """Return when a trial of the last day last verified a token, by provider and fingerprint of the key."""
        query = (
            select(_trial.c.provider, _trial.c.started_at, _trial.c.report)
            .where(_trial.c.started_at >= int(time_now()) - KEPT)
            .order_by(_trial.c.started_at.desc())
            .limit(MOST_READ)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return {
            (row.provider, row.report["key"]): datetime.fromtimestamp(_end_of(row), UTC)
            for row in reversed(rows)
            if row.report and row.report.get("key")
        }

    def _look_up(self, verified: Verified, trusted: Trusted) -> dict[str, Any]:
        """Return the result that a sign-in with the token would have, without spending it."""
        if self._replay.first_use(self._database, verified.token_key) is not None:
            used = TokenReplayed("the token was used before")
            return refusal(used.code, used.detail, used.remedy)
        with self._database.reading() as connection:
            return self._rehearse(connection, verified, trusted)

    def _rehearse(self, connection: Connection, verified: Verified, trusted: Trusted) -> dict[str, Any]:
        """Return the changes that a sign-in with the token would make to the accounts."""
        provider, claims = trusted.provider, verified.claims
        try:
            profile = read_profile(claims, provider)
            known = accounts.find_by_identity(connection, provider.name, profile)
            decision = accounts.find_and_decide(connection, profile, provider, self._seat_limit, known)
        except Rejection as rejection:
            return refusal(rejection.code, rejection.detail, rejection.remedy)
        person = {"id": clean_id(profile.subject, trusted.secrets), "email": clean_id(profile.email, trusted.secrets)}
        if not isinstance(decision, Admit):
            fields: dict[str, Any] = {"email": profile.email, **profile.fields}
            if profile.groups:
                fields["groups"] = list(profile.groups)
            changes = {name: [None, value] for name, value in {**fields, **profile.attributes}.items()}
            if decision.administers:
                changes["administrator through"] = [None, provider.name]
            return {"what": "create", "person": person, "account_id": None, "changes": shown_pairs(changes)}
        before = {**decision.account.fields, "groups": list(decision.account.groups), "email": decision.account.email}
        changes = {n: [before.get(n), v] for n, v in decision.changes.items() if n in (*COLUMNS, "groups", "email")}
        if "admin_through" in decision.changes:
            changes["administrator through"] = [decision.account.admin_through, decision.changes["admin_through"]]
        old, new = decision.account.attributes, decision.changes.get("attributes", {})
        changes |= {name: [old.get(name), value] for name, value in new.items() if old.get(name) != value}
        what = "join" if decision.join else "sign_in"
        return {
            "what": what,
            "person": person,
            "account_id": decision.account.id,
            "changes": shown_pairs(changes),
        }

    def _file(
        self,
        connection: Connection,
        pending: Pending,
        provider: str,
        report: dict[str, Any],
        visitor: Visitor,
        reference: str,
        content: Facts = NOTHING,
    ) -> None:
        """Store the report and its log line, unless they exist already.

        If another request has just stored them, only this attempt to store them is rolled back: the token stays spent.
        """
        with suppress(IntegrityError), connection.begin_nested():  # the same form was sent twice at the same time
            self._keep(connection, pending, provider, report)
            self._note(connection, pending, provider, report, visitor, reference, content)

    def _keep(self, connection: Connection, pending: Pending, provider: str, report: dict[str, Any]) -> None:
        old = select(_trial.c.id).where(_trial.c.started_at < int(time_now()) - KEPT).limit(CLEAN_UP_ROWS)
        connection.execute(delete(_trial).where(_trial.c.id.in_(old)))
        values = {
            "id": pending.trial,
            "provider": provider,
            "account_id": pending.trial_by,
            "started_at": pending.started_at,
            "report": storable(report) | {"ended_at": int(time_now())},
        }
        connection.execute(insert(_trial), values)

    def _note(
        self,
        connection: Connection,
        pending: Pending,
        provider: str,
        report: Mapping[str, Any],
        visitor: Visitor,
        reference: str,
        content: Facts,
    ) -> None:
        outcome = report["outcome"]
        person = outcome.get("person") or {}
        activity.record(
            connection,
            activity.Entry(
                reference=reference,
                at=int(utc_now().timestamp()),
                event=activity.TRIAL,
                visitor=visitor,
                code=outcome.get("code"),
                provider=provider,
                subject=person.get("id"),
                email=person.get("email"),
                account_id=None,
                detail=trial_cause(report, pending.trial_by, self._secrets()),
                trace=activity.trace_of(visitor, trial_facts(report, content, self._secrets())),
            ),
        )


def _end_of(row: Any) -> int:
    """Return when the token of a stored trial arrived.

    Reports of earlier versions do not have this time. For these, return when the trial began.
    """
    return int((row.report or {}).get("ended_at", row.started_at))
