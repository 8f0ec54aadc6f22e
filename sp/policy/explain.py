"""Explain a decision of `sp.policy.decision` in words. The explanation says which rule decides, and why.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from sp.policy.decision import (
    Decision,
    Policy,
    PolicySubject,
    Rule,
    Verdict,
    find,
    is_unambiguous,
    meant_by,
)
from sp.policy.method_overrides import in_query
from sp.policy.raw_path import spelled
from sp.routes import HOME, Routes

ALLOW, SIGN_IN, DENY = "allow", "sign-in", "deny"  # the contract's words for a decision
DECISIONS = (ALLOW, SIGN_IN, DENY)
WOULD = {ALLOW: "allow it", SIGN_IN: "ask for a sign-in", DENY: "deny it"}
HIT, MISS, NOT_REACHED = "hit", "miss", "not reached"


@dataclass(frozen=True)
class Someone:
    """The attributes of a person that rules use."""

    email: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class RuleResult:
    """The result of one rule: "hit", "miss", or "not reached" if an earlier rule or the gateway itself decided."""

    number: int
    path: str
    result: str
    text: str
    shadow: bool = False


@dataclass(frozen=True)
class Explanation:
    """The decision about a request, the rule that made it, and one sentence for each reason (`why`).

    `rule` is the rule's number in the file, or None if no rule decided. `rule_text` is the rule in words. `shadow` says
    what a matching shadow rule would decide. It is empty if no shadow rule matches. `own_path` is true if the path
    belongs to the gateway itself.
    """

    method: str
    path: str
    rule: int | None
    rule_text: str
    why: tuple[str, ...]
    refused: bool
    decision: str = ALLOW
    site: str = HOME
    rules: tuple[RuleResult, ...] = ()
    shadow: str = ""
    own_path: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the explanation as JSON for programs."""
        return {**asdict(self), "why": list(self.why), "rules": [asdict(each) for each in self.rules]}

    @property
    def in_short(self) -> str:
        """The decision and its rule."""
        return (
            f"{self.decision}, by rule {self.rule} ({self.rule_text})"
            if self.rule
            else f"{self.decision}: {self.rule_text}"
        )


def explain(
    policy: Policy, own: Routes, method: str, url: str, person: PolicySubject | None, site: str = HOME
) -> Explanation:  # fmt: skip
    """Explain the decision about *method* *url* for *person*. If *person* is None, explain it for a visitor.

    *url* is spelled as in a request line. *policy* has the rules of *site*.
    """
    raw_path, question, query = url.partition("?")
    methods = in_query(query)
    why = ["rules ignore the query"] if question and not methods else []
    path = _decode(raw_path)
    if path and own.include(path) and is_unambiguous(path):
        why.append("the path belongs to the gateway itself, so rules do not apply")
        results = tuple(_result(number, rule, NOT_REACHED) for number, rule in enumerate(policy.rules, 1))
        return Explanation(
            method, path, None, "none", tuple(why), refused=False, site=site, rules=results, own_path=True
        )  # fmt: skip
    spelling = spelled(raw_path.encode("utf-8", "replace").decode("latin-1"))
    spellings = () if spelling == path else (spelling,)
    decision = policy.decide(method, path, person, spellings=spellings, overrides=methods)
    why += [f"the query names the method {name}, so the rules for that method apply as well" for name in methods]
    why += _reasons(decision, path, person)
    why += _near_misses(policy.rules, method, path, decision)
    results = tuple(
        _results(policy.rules, [meant for name in (method, *methods) for meant in meant_by(name)], decision)
    )
    shadow = ""
    if policy.trial is not None:
        trial = policy.trial.decide(method, path, person, spellings=spellings, overrides=methods)
        differs = trial.verdict is not decision.verdict
        number = policy.shadow_behind(trial, method, path, spellings=spellings, overrides=methods)
        if number and (differs or number == trial.number):
            too = "" if differs else " too"
            shadow = f"the shadow rule {number} would {WOULD[decided(trial.verdict)]}{too}"
    return Explanation(
        method=method,
        path=path or raw_path,
        rule=decision.number or None,
        rule_text=describe(decision.rule) if decision.number else _rule_text(decision),
        why=tuple(why),
        shadow=shadow,
        refused=decision.verdict >= Verdict.FORBID,
        decision=decided(decision.verdict),
        site=site,
        rules=results,
    )


def decided(verdict: Verdict) -> str:
    """Return the word for a *verdict*: allow, sign-in or deny."""
    return {Verdict.LET_IN: ALLOW, Verdict.SIGN_IN: SIGN_IN}.get(verdict, DENY)


def _results(rules: Sequence[Rule], methods: Sequence[str], decision: Decision) -> Iterator[RuleResult]:
    """Yield the result of each rule, for the reading of the path and the method by which the decision was made."""
    asked = decision.verdict is not Verdict.AMBIGUOUS
    counting = [rule for rule in rules if not rule.shadow]
    meant = next((name for name in methods if find(counting, name, decision.reading) is decision.rule), methods[0])
    for number, rule in enumerate(rules, 1):
        if not asked or (decision.number and number > decision.number):
            yield _result(number, rule, NOT_REACHED)
        elif number == decision.number or (rule.shadow and rule.covers(meant, decision.reading)):
            yield _result(number, rule, HIT)
        else:
            yield _result(number, rule, MISS)


def _result(number: int, rule: Rule, result: str) -> RuleResult:
    return RuleResult(number, rule.path, result, describe(rule), rule.shadow)


def _rule_text(decision: Decision) -> str:
    if decision.verdict is Verdict.AMBIGUOUS:
        return "rules do not apply"
    return "no rule matches, so every signed-in person is allowed"


def describe(rule: Rule) -> str:
    """Return a rule in one line."""
    kind = "everything below" if rule.path.endswith("/") else "exactly"
    methods = ", ".join(sorted(rule.methods)) or "every method"
    return f"{kind} {rule.path}, {methods}: {admitted(rule)}{' (shadow)' if rule.shadow else ''}"


def admitted(rule: Rule) -> str:
    """Return the text about the people whom a rule allows."""
    return {"anyone": "anyone", "signed-in": "any signed-in person"}.get(rule.allow) or _members(rule)


def _members(rule: Rule) -> str:
    parts = (("group", rule.groups), ("e-mail", rule.users), ("domain", rule.email_domains))
    return "; or ".join(f"{name} {', '.join(sorted(values))}" for name, values in parts if values)


def _decode(raw_path: str) -> str:
    try:
        return unquote_to_bytes(raw_path).decode("utf-8")
    except UnicodeDecodeError:
        return ""


def _reasons(decision: Decision, path: str, person: PolicySubject | None) -> list[str]:
    if decision.verdict is Verdict.AMBIGUOUS:
        return ["the path is ambiguous (dot segment, // or \\, control character, invalid UTF-8), so it is "
                "rejected before any rule"]  # fmt: skip
    found = []
    if decision.reading != path:
        found.append(f"an application may read the path as {decision.reading}, so the strictest decision applies")
    if decision.verdict is Verdict.SIGN_IN:
        found.append("the request has no signed-in person")
    elif decision.verdict is Verdict.FORBID and person is not None:
        groups = ", ".join(sorted(person.groups)) or "none"
        found.append(f"{person.email or 'the person'} does not match the rule (groups: {groups})")
    elif decision.rule.allow == "members" and person is not None:
        found.append(f"{person.email or 'the person'} matches the rule")
    return found


def _near_misses(rules: Sequence[Rule], method: str, path: str, decision: Decision) -> list[str]:
    """Name the rules that the operator may have expected to match."""
    found = []
    for number, rule in enumerate(rules, 1):
        if number == decision.number:
            break
        if rule.path in (f"{path}/", path.removesuffix("/")) and rule.path != path:
            found.append(f"rule {number} is for {rule.path}, which is a different path from {path}")
        elif rule.methods and method.upper() not in rule.methods and Rule(rule.path).covers(method, path):
            found.append(f"rule {number} has the path but not the method")
    return found
