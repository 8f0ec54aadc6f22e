"""Try each fault. A control with valid tokens comes before the first fault and after the last one.

Each token is new (with its own jti and the present time), so that the rejection of one token does not cause the
rejection of the next one.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from lab.attack.observation import ControlFailed, Judgement, Observation
from lab.attack.target import Target, Visit
from lab.drafts import Draft
from lab.faults import FAULTS, Fault, Level, NotApplicable
from lab.forging import encode
from shared.outbound import ExchangeFailed

Outcome = Literal["accepted", "refused", "not tried"]


class MakeDraft(Protocol):
    """Makes a new valid token at each call, with further claims."""

    def __call__(self, more: Mapping[str, Any]) -> Draft: ...


@dataclass(frozen=True)
class Result:
    """The result of one fault. `because` is the feature that decided, or the reason why the fault was not tried."""

    fault: str
    level: Level
    outcome: Outcome
    what: str
    rule: str
    because: str
    status: int = 0

    @property
    def is_hole(self) -> bool:
        """Whether an attacker can sign in with this fault."""
        return self.outcome == "accepted" and self.level == "hole"

    @property
    def is_lenient(self) -> bool:
        """Whether the service overlooks this fault of an identity provider."""
        return self.outcome == "accepted" and self.level == "strict"


class Attack:
    """Attacks one service provider. Call `control` first. `control` and `finish` raise ControlFailed."""

    def __init__(self, target: Target, make_draft: MakeDraft) -> None:
        self._target, self._make = target, make_draft
        self._page = target.page
        self._judgement: Judgement | None = None

    def control(self) -> tuple[str, ...]:
        """Send good tokens and garbage; return the names of the features that tell them apart."""
        try:
            if not self._page:
                self._page = self._good().end
            good = [self._good(), self._good()]
            bad = [self._send(text) for text in _garbage()]
        except ExchangeFailed as error:
            raise ControlFailed(str(error)) from error
        self._judgement = Judgement(good, bad)
        return tuple(feature.name for feature in self._judgement.telling)

    def faults(self, faults: Iterable[Fault] = tuple(FAULTS.values())) -> Iterator[Result]:
        """Try each fault, and yield its result."""
        for fault in faults:
            yield self._try(fault)

    def finish(self) -> None:
        """Make sure that a valid token is still accepted. Otherwise the rejections prove nothing."""
        try:
            accepted, _because = self._judge(self._good())
        except ExchangeFailed as error:
            raise ControlFailed(f"at the end: {error}") from error
        if not accepted:
            raise ControlFailed("at the end a good token was refused: the service may have locked this test out")

    def good_for(self, visit: Visit) -> Draft:
        """Return a new valid token for *visit*, with the nonce that the service requires."""
        return self._make({"nonce": visit.asked["nonce"]} if "nonce" in visit.asked else {})

    def accepts(self, visit: Visit, token: str) -> bool:
        """Send *token* in *visit*, and tell whether it was accepted."""
        return self._judge(visit.send(token, self._page))[0]

    def _try(self, fault: Fault) -> Result:
        def result(outcome: Outcome, because: str, status: int = 0) -> Result:
            return Result(fault.name, fault.level, outcome, fault.what, fault.rule, because, status)

        visit = self._visit()
        if visit is None:
            return result("refused", "the service did not answer")
        good = self.good_for(visit)
        if fault.about and fault.about not in good.claims:
            return result("not tried", f"the good token has no {fault.about}")
        try:
            *before, bad = fault.tokens(good)
        except NotApplicable as error:
            return result("not tried", str(error).partition(": ")[2])
        try:
            for token in before:
                if not self.accepts(visit, token):
                    return result("not tried", "the first, good token was refused")
                visit = Visit(self._target)  # the second use comes from another browser
            seen = visit.send(bad, self._page)
        except ExchangeFailed as error:
            return result("refused", f"no answer: {error}")
        accepted, because = self._judge(seen)
        return result("accepted" if accepted else "refused", because, seen.answer.status)

    def _visit(self) -> Visit | None:
        try:
            return Visit(self._target)
        except ExchangeFailed:
            return None

    def _good(self) -> Observation:
        visit = Visit(self._target)
        return visit.send(self.good_for(visit).token(), self._page)

    def _send(self, text: str) -> Observation:
        return Visit(self._target).send(text, self._page)

    def _judge(self, seen: Observation) -> tuple[bool, str]:
        if self._judgement is None:
            raise RuntimeError("control() comes first")
        return self._judgement.accepts(seen)


def _garbage() -> tuple[str, ...]:
    """Return texts that no service can accept as a token."""
    pieces = [encode(secrets.token_bytes(size)) for size in (30, 90, 32)]
    return ("not-a-token", ".".join(pieces))
