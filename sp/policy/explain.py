"""Explain the decision of `sp.policy.decision` in words: which rule decides about a request, and why. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from sp.policy.decision import SIGNED_IN, Decision, Policy, PolicySubject, Rule, Verdict, is_unambiguous
from sp.policy.method_overrides import in_query
from sp.policy.raw_path import spelled
from sp.routes import Routes


@dataclass(frozen=True)
class Explanation:
    """The verdict, the rule's number in the file (None: no rule), its text, and one sentence for each reason."""

    method: str
    path: str
    verdict: str
    rule: int | None
    rule_text: str
    why: tuple[str, ...]
    refused: bool

    def as_json(self) -> dict[str, Any]:
        """Return the explanation for programs."""
        return {**asdict(self), "why": list(self.why)}


def explain(
    rules: Sequence[Rule], own: Routes, method: str, url: str, person: PolicySubject | None
) -> Explanation:  # fmt: skip
    """Return what happens to *method* *url*, as written in a request line, for *person* or without a session."""
    raw_path, question, query = url.partition("?")
    methods = in_query(query)
    why = ["rules ignore the query"] if question and not methods else []
    path = _decode(raw_path)
    if path and own.include(path) and is_unambiguous(path):
        why.append("the path belongs to the gateway itself, so rules do not apply")
        return Explanation(method, path, "own path", None, "none", tuple(why), refused=False)
    spelling = spelled(raw_path.encode("utf-8", "replace").decode("latin-1"))
    spellings = () if spelling == path else (spelling,)
    decision = Policy(rules).decide(method, path, person, spellings=spellings, overrides=methods)
    why += [f"the query names the method {name}, so the rules for that method apply as well" for name in methods]
    why += _reasons(decision, path, person)
    why += _near_misses(rules, method, path, decision.rule)
    number = next((position for position, rule in enumerate(rules, 1) if rule is decision.rule), None)
    return Explanation(
        method=method,
        path=path or raw_path,
        verdict=decision.verdict.words,
        rule=number,
        rule_text=_rule_text(decision) if number is None else describe(decision.rule),
        why=tuple(why),
        refused=decision.verdict >= Verdict.FORBID,
    )


def _rule_text(decision: Decision) -> str:
    if decision.verdict is Verdict.AMBIGUOUS:
        return "rules do not apply"
    return "no rule matches, so every signed-in person is allowed"


def describe(rule: Rule) -> str:
    """Return a rule in one line."""
    kind = "everything below" if rule.path.endswith("/") else "exactly"
    methods = ", ".join(sorted(rule.methods)) or "every method"
    allowed = {"anyone": "anyone", "signed-in": "any signed-in person"}.get(rule.allow) or _members(rule)
    return f"{kind} {rule.path}, {methods}: {allowed}"


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
        found.append(f"{person.email} does not match the rule (groups: {groups})")
    elif decision.rule.allow == "members" and person is not None:
        found.append(f"{person.email} matches the rule")
    return found


def _near_misses(rules: Sequence[Rule], method: str, path: str, decided: Rule) -> list[str]:
    """Name rules that the operator may have expected here."""
    found = []
    for number, rule in enumerate(rules, 1):
        if rule is decided:
            break
        if rule.path in (f"{path}/", path.removesuffix("/")) and rule.path != path:
            found.append(f"rule {number} is for {rule.path}, which is a different path from {path}")
        elif rule.methods and method.upper() not in rule.methods and Rule(rule.path).covers(method, path):
            found.append(f"rule {number} has the path but not the method")
    return found if decided is SIGNED_IN or found else []
