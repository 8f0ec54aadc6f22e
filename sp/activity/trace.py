"""Define a trace: the record of one attempt to sign in or out, for the person who has to find out why it failed.

A trace never contains a token, a signature, a key, a password, or the value of a cookie or nonce.
`sp.activity.cleaning` removes them. `sp.activity.packing` compresses a trace into a few hundred bytes.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

DELIVERIES = ("query", "form", "header", "none")
PASSED, FAILED, SKIPPED, ADVICE = "passed", "failed", "skipped", "advice"
OUTCOMES = (PASSED, FAILED, SKIPPED, ADVICE)


class CheckResult(NamedTuple):
    """One check of an attempt: its name, its result, and the compared values."""

    name: str
    outcome: str
    detail: str = ""


@dataclass(frozen=True)
class AccountDecision:
    """The decision about the account, and why: created, found, linked, or rejected.

    `changed` has the names of the changed fields.
    """

    decision: str
    why: str = ""
    id: int | None = None
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """The facts about an attempt that its line in the activity log has no columns for.

    `header` and `claims` of a rejected token are unverified. `clipped` says that something was too long to keep.
    `request_id` is the ID of the request in the logs. `checked_at` is the time, in seconds since 1970, at which the
    token was checked, if that was in an earlier request.
    """

    delivery: str = "none"
    header: Mapping[str, Any] | None = None
    claims: Mapping[str, Any] | None = None
    key: str | None = None
    cookies: tuple[str, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    account: AccountDecision | None = None
    sent_to: str | None = None
    clipped: bool = False
    request_id: str | None = None
    checked_at: int | None = None


@dataclass(frozen=True)
class Explained:
    """The reason for a rejection in one line, and the facts about the attempt; both are cleaned."""

    cause: str
    facts: Facts


@dataclass(frozen=True)
class Trace:
    """One attempt with all its facts. `at` is in seconds since 1970, `facts` may be empty.

    `cause` is one line: the reason for the result, as written at the time of the attempt.
    """

    reference: str
    at: int
    event: str
    code: str | None
    cause: str
    provider: str | None
    email: str | None = None
    facts: Facts = field(default_factory=Facts)

    def as_json(self) -> dict[str, Any]:
        """Return the trace as JSON, in the form that docs/guides/troubleshooting.md describes."""
        facts = self.facts
        return {
            "reference": self.reference,
            "at": rfc3339(self.at),
            "event": self.event,
            "code": self.code,
            "cause": self.cause,
            "provider": self.provider,
            "delivery": facts.delivery,
            "header": facts.header,
            "claims": facts.claims,
            "key": facts.key,
            "cookies": list(facts.cookies),
            "checks": [{"name": c.name, "outcome": c.outcome, "detail": c.detail} for c in facts.checks],
            "account": vars(facts.account) | {"changed": list(facts.account.changed)} if facts.account else None,
            "sent_to": facts.sent_to,
            "request_id": facts.request_id,
        }

    @property
    def checked_at(self) -> int:
        """The time at which the token was checked, in seconds since 1970."""
        return self.at if self.facts.checked_at is None else self.facts.checked_at

    def check(self, name: str) -> CheckResult | None:
        """Return the result of the check *name*, or None if there is none."""
        return next((check for check in self.facts.checks if check.name == name), None)


def rfc3339(seconds: float) -> str:
    """Return *seconds* since 1970 as UTC in RFC 3339."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def failed(checks: Iterable[CheckResult]) -> list[CheckResult]:
    """Return the checks that failed, in order."""
    return [check for check in checks if check.outcome == FAILED]
