"""Trial sign-ins: what would happen, worked out to the end, without a session and without a change to any account.

An administrator tries a provider out before anybody depends on it. The token that comes back is judged as at a
sign-in, check by check, and the account that it leads to is looked up in the same way. One thing is done for good: a
token that is good in itself is spent, so that it signs nobody in afterwards.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from shared.errors import Rejection, StoreUnavailable
from shared.keys import KeySet
from sp import accounts, activity
from sp.activity import Visitor
from sp.diagnosis import near_misses
from sp.diagnosis.inspector import Finding, inspect
from sp.diagnosis.matching import match_fields, unmatched_claims
from sp.models import Trial
from sp.provisioning import COLUMNS, Admit, decide, read_profile
from sp.registry import Trusted
from sp.replay import ReplayCache, Trace, token_key
from sp.verification import Verified, acceptable_until, check_nonce, verify

KEPT = 86400  # seconds that a report can be looked at
CLEAN_UP_ROWS = 100

_trial: Any = Trial.__table__


@dataclass(frozen=True)
class Tried:
    """A trial that is over. `report` is what `Trials.conclude` found; times are seconds since 1970."""

    id: str
    provider: str
    account_id: int
    started_at: int
    report: Mapping[str, Any]


@dataclass(frozen=True)
class Ticket:
    """A trial under way: its id, who began it, when, and the nonce that the token should bring back."""

    id: str
    account_id: int
    started_at: int
    nonce: str


class Trials:
    """Judges the tokens of trials and keeps the reports for a day."""

    def __init__(self, engine: Engine, replay_cache: ReplayCache, seat_limit: int) -> None:
        self._engine = engine
        self._writing = engine.execution_options(write=True)
        self._replay, self._seat_limit = replay_cache, seat_limit

    def conclude(
        self, ticket: Ticket, unverified_token: str, trusted: Trusted, visitor: Visitor, *, reference: str
    ) -> None:
        """Judge the token of a trial, spend it if it is good, and keep the report. Raises StoreUnavailable."""
        provider, now = trusted.provider, time.time()
        if self.find(ticket.id, ticket.account_id) is not None:
            return  # the same form was sent twice: the first report is the true one
        verified, keys = _verify(unverified_token, trusted, now)
        findings = inspect(unverified_token, provider, keys, now)
        if verified is not None:
            findings = [_judge_nonce(verified, ticket, trusted) if f.check == "nonce" else f for f in findings]
        payload = verified.claims.raw if verified else _unverified_payload(unverified_token)
        header = near_misses.peek(unverified_token)[0]
        report: dict[str, Any] = {
            "verified": verified is not None,
            "findings": [asdict(finding) for finding in findings],
            "header": _shown(header) if header is not None else "",
            "claims": _shown(payload) if payload is not None else "",
            "matches": [
                {"field": match.field, "wanted": match.wanted, "claim": match.claim, "value": _shown(match.value)}
                for match in match_fields(payload or {}, provider)
            ],
            "unmatched": unmatched_claims(payload or {}, provider),
            "outcome": _refused(findings),
        }
        try:
            with self._writing.begin() as connection:
                if verified is not None and report["outcome"] is None:
                    report["outcome"] = self._rehearse(connection, verified, trusted)
                self._keep(connection, ticket, provider.name, report)
                self._note(connection, ticket, provider.name, report, visitor, reference)
        except IntegrityError:
            pass  # the same form was sent twice, at once
        except SQLAlchemyError as error:
            raise StoreUnavailable(f"the database did not answer: {type(error).__name__}") from error

    def fail(self, ticket: Ticket, rejection: Rejection, provider: str, visitor: Visitor, *, reference: str) -> None:
        """Keep the report of a trial to which no token came, or in a way that is not allowed."""
        finding = Finding("delivery", "failed", rejection.detail, rejection.remedy, rejection.code)
        report: dict[str, Any] = {
            "verified": False,
            "findings": [asdict(finding)],
            "header": "",
            "claims": "",
            "matches": [],
            "unmatched": [],
            "outcome": _refused([finding]),
        }
        if self.find(ticket.id, ticket.account_id) is None:
            with self._writing.begin() as connection:
                self._keep(connection, ticket, provider, report)
                self._note(connection, ticket, provider, report, visitor, reference)

    def find(self, trial_id: str, account_id: int) -> Tried | None:
        """Return the trial, if this administrator has made it."""
        query = select(_trial).where(_trial.c.id == trial_id, _trial.c.account_id == account_id)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return Tried(row.id, row.provider, row.account_id, row.started_at, row.report) if row else None

    def _rehearse(self, connection: Connection, verified: Verified, trusted: Trusted) -> dict[str, Any]:
        """Spend the token and return what a sign-in by it would have done."""
        provider, claims = trusted.provider, verified.claims
        key = token_key(provider.name, claims.token_id or "")
        try:
            self._replay.spend(connection, key, acceptable_until(claims, provider), Trace())
            profile = read_profile(claims, provider)
            known = accounts.find_by_identity(connection, provider.name, profile.subject)
            same_email = accounts.find_by_email(connection, profile.email, provider.name)
            free_seat = accounts.has_free_seat(connection, self._seat_limit)
            decision = decide(profile, provider, known=known, same_email=same_email, free_seat=free_seat)
        except StoreUnavailable:
            raise
        except Rejection as rejection:
            return _refusal(rejection.code, rejection.detail, rejection.remedy)
        person = {"id": profile.subject, "email": profile.email}
        if not isinstance(decision, Admit):
            fields: dict[str, Any] = {"email": profile.email, **profile.fields}
            if profile.groups:
                fields["groups"] = list(profile.groups)
            changes = {name: [None, value] for name, value in {**fields, **profile.attributes}.items()}
            return {"what": "create", "person": person, "account_id": None, "changes": _shown_pairs(changes)}
        before = {**decision.account.fields, "groups": list(decision.account.groups), "email": decision.account.email}
        changes = {n: [before.get(n), v] for n, v in decision.changes.items() if n in (*COLUMNS, "groups", "email")}
        old, new = decision.account.attributes, decision.changes.get("attributes", {})
        changes |= {name: [old.get(name), value] for name, value in new.items() if old.get(name) != value}
        what = "join" if decision.join else "sign_in"
        return {
            "what": what,
            "person": person,
            "account_id": decision.account.id,
            "changes": _shown_pairs(changes),
        }

    def _keep(self, connection: Connection, ticket: Ticket, provider: str, report: dict[str, Any]) -> None:
        old = select(_trial.c.id).where(_trial.c.started_at < int(time.time()) - KEPT).limit(CLEAN_UP_ROWS)
        connection.execute(delete(_trial).where(_trial.c.id.in_(old)))
        values = {
            "id": ticket.id,
            "provider": provider,
            "account_id": ticket.account_id,
            "started_at": ticket.started_at,
            "report": _storable(report),
        }
        connection.execute(insert(_trial), values)

    def _note(
        self,
        connection: Connection,
        ticket: Ticket,
        provider: str,
        report: Mapping[str, Any],
        visitor: Visitor,
        reference: str,
    ) -> None:
        outcome = report["outcome"]
        person = outcome.get("person") or {}
        activity.record(
            connection,
            reference=reference,
            at=int(datetime.now(UTC).timestamp()),
            event=activity.TRIAL,
            visitor=visitor,
            code=outcome.get("code"),
            provider=provider,
            subject=person.get("id"),
            email=person.get("email"),
            account_id=None,
            detail=f"a trial, begun by the account {ticket.account_id}: nothing was opened or changed",
        )


def _verify(unverified_token: str, trusted: Trusted, now: float) -> tuple[Verified | None, KeySet | None]:
    """Return the token verified as at a sign-in, or None; and the keys it was tried with, if there were any."""
    provider = trusted.provider
    tried: list[KeySet] = []

    def attempt(keys: KeySet) -> Verified:
        tried.append(keys)
        return verify(unverified_token, provider, keys, now)

    try:
        verified = trusted.with_keys(unverified_token, attempt)
    except Rejection:
        return None, tried[-1] if tried else None
    return verified, tried[-1]


def _judge_nonce(verified: Verified, ticket: Ticket, trusted: Trusted) -> Finding:
    try:
        check_nonce(verified.claims, trusted.provider, frozenset({ticket.nonce}))
    except Rejection as rejection:
        remedy = "The identity provider must put the nonce of the request into the token, or do not require it."
        return Finding("nonce", "failed", rejection.detail, remedy, rejection.code)
    if verified.claims.nonce is None:
        remedy = "If the identity provider can echo the nonce, have it do so: it binds a token to the browser."
        return Finding("nonce", "advice", "the token has no nonce, and none is required", remedy)
    return Finding("nonce", "passed", "the nonce is the one that this browser was given")


def _unverified_payload(unverified_token: str) -> Mapping[str, Any] | None:
    """Return the payload that no signature vouches for, to be shown as such."""
    return near_misses.payload_inside(near_misses.peek(unverified_token)[1])


def _refused(findings: list[Finding]) -> dict[str, Any] | None:
    failed = next((finding for finding in findings if finding.outcome == "failed"), None)
    return _refusal(failed.code, failed.explanation, failed.remedy) if failed else None


def _refusal(code: str, detail: str, remedy: str) -> dict[str, Any]:
    return {"what": "refuse", "code": code, "detail": detail, "remedy": remedy, "changes": {}}


def _shown_pairs(changes: Mapping[str, list[Any]]) -> dict[str, list[str | None]]:
    return {
        name: [None if value is None else _shown(value) for value in (before, after)]
        for name, (before, after) in changes.items()
    }


def _shown(value: Any) -> str:
    """Return *value* as text for a page: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, indent=2, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply to be shown)"


def _storable(value: Any) -> Any:
    """Return the report with what no database and no page takes (NUL, halves of surrogate pairs) spelled out."""
    if isinstance(value, str):
        return value.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_storable(name): _storable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value
