"""Decide about a request by the rules: allow it, ask for a sign-in, or deny it.

All entry points (WSGI and ASGI middleware, nginx, forward-auth) use this module, so they make the same decisions. Tests
can try every path without a server.

A rule is written for one spelling of a path, but the application may serve the same page for other spellings. So a path
with a dot segment, "//" or the like is rejected before any rule. Any other path is compared with the rules in every
form in which an application may read it (`sp.policy.readings`), and as the request line spelled it
(`sp.policy.raw_path`). HEAD is also checked as GET, because frameworks answer HEAD like GET, without the body. If the
results differ, the strictest one counts.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from typing import Protocol

from sp.policy.readings import readings, shorn

# Nearly every path is an ordinary path: it consists of letters, digits and punctuation that no server decodes, with
# single slashes and without dot segments. One pattern checks all of this, because it runs at each request.
_ONE_READING = re.compile(r"(?=/)(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9._~!$&'()*+,=:@ -]+)*/?\Z")
MAX_REMEMBERED = 4096  # pairs of method and path
MAX_REMEMBERED_LENGTH = 512  # characters of method and path together; limited because strangers choose them


class Verdict(IntEnum):
    """What to do with a request. If readings of its path or method get different verdicts, the greatest counts."""

    LET_IN = 0
    SIGN_IN = 1
    FORBID = 2
    FOREIGN_PAGE = 3  # a script of another site opens a WebSocket with the cookies of a signed-in person
    AMBIGUOUS = 4

    @property
    def words(self) -> str:
        """The name of the verdict in the metrics."""
        return self.name.lower().replace("_", " ")


# In Python 3.11, reading a member of an enumeration takes ten times as long as reading a variable.
LET_IN, _SIGN_IN, _FORBID = Verdict.LET_IN, Verdict.SIGN_IN, Verdict.FORBID


class PolicySubject(Protocol):
    """The attributes of a person that rules use."""

    @property
    def email(self) -> str: ...

    @property
    def groups(self) -> Collection[str]: ...


@dataclass(frozen=True)
class Rule:
    """Who may send a request. If `path` ends in "/", it is a prefix. Otherwise the rule is for exactly this path.

    If `methods` is empty, the rule is for all methods. `allow` is "anyone", "signed-in" or "members". "members" means
    people who are in one of the groups, in `users` (by e-mail), or in one of the e-mail domains. A `shadow` rule is
    evaluated, but does not decide.
    """

    path: str
    methods: frozenset[str] = frozenset()
    allow: str = "signed-in"
    groups: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    email_domains: frozenset[str] = frozenset()
    shadow: bool = False

    def covers(self, method: str, path: str) -> bool:
        """Tell whether this rule is about the request."""
        if self.methods and method not in self.methods:
            return False
        return path.startswith(self.path) if self.path.endswith("/") else path == self.path

    def judge(self, person: PolicySubject | None) -> Verdict:
        """Return the verdict of this rule for *person*. If *person* is None, it is a visitor who is not signed in."""
        allow = self.allow
        if allow == "anyone":
            return LET_IN
        if person is None:
            return _SIGN_IN
        return LET_IN if allow != "members" or self.admits(person) else _FORBID

    def admits(self, person: PolicySubject) -> bool:
        """Tell whether this rule allows the signed-in *person*."""
        if self.allow != "members":
            return True
        email = person.email
        if email.isascii():  # outside ASCII, "lower" changes the letter: the Kelvin sign becomes k
            email = email.lower()
        return (
            email in self.users
            or email.rpartition("@")[2] in self.email_domains
            or not self.groups.isdisjoint(person.groups)
        )


SIGNED_IN = Rule(path="/")  # no rule matches: any signed-in person


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, the rule that gave it, and the reading of the path that the rule matched.

    `number` is the rule's position in the file, from 1. It is 0 if no rule matches, or if the verdict does not come
    from a rule (FOREIGN_PAGE, AMBIGUOUS).
    """

    verdict: Verdict
    rule: Rule
    reading: str
    number: int = 0


class Policy:
    """Decides by *rules*. The rule for an ordinary request is cached, because pages are requested repeatedly.

    `trial` is a second policy that decides as if the shadow rules were in force. It is None if there are no shadow
    rules. The policy and its `trial` together cache at most *remembered* requests.
    """

    def __init__(self, rules: Sequence[Rule], remembered: int = MAX_REMEMBERED) -> None:
        self.rules = tuple(rules)
        self._rules = tuple(rule for rule in rules if not rule.shadow)
        self._numbers = {id(rule): number for number, rule in reversed([*enumerate(rules, 1)])}
        self._methods = frozenset(method for rule in self._rules for method in rule.methods)
        has_shadow = len(self._rules) < len(self.rules)
        remembered = remembered // 2 if has_shadow else remembered
        self.trial = Policy([replace(rule, shadow=False) for rule in rules], remembered) if has_shadow else None
        self._of_plain = lru_cache(remembered)(self.possible)

    def decide(
        self,
        method: str,
        path: str,
        person: PolicySubject | None,
        *,
        spellings: Collection[str] = (),
        overrides: Collection[str] = (),
        foreign_page: bool = False,
    ) -> Decision:
        """Return the decision about *method* *path* (decoded once, without query) for *person*, or None for a visitor.

        *spellings* are other forms of the path in the request line (`sp.policy.raw_path`). *overrides* are methods that
        a framework may use instead of *method* (`sp.policy.method_overrides`). *foreign_page* is true if a page of
        another site opens a WebSocket with the cookies of *person*.
        """
        if not (spellings or overrides or foreign_page) and len(method) + len(path) <= MAX_REMEMBERED_LENGTH:
            possible = self._of_plain(method, path)
            if possible:
                return possible[possible[0].rule.judge(person)]
        methods = [meant for name in (method, *overrides) for meant in meant_by(name)]
        different = list(dict.fromkeys(meant if meant in self._methods else "" for meant in methods))
        return self._decide_with_care(different, (path, *spellings), person, foreign_page)

    def asked(
        self, method: str, path: str, *, spellings: Collection[str] = (), overrides: Collection[str] = ()
    ) -> tuple[Rule, ...]:
        """Return the rules that match the readings of a request. The strictest of these rules decides.

        The result is empty if the path is ambiguous. The arguments are those of `decide`.
        """
        meant = (each for name in (method, *overrides) for each in meant_by(name))
        methods = dict.fromkeys(each if each in self._methods else "" for each in meant)
        every = (reading for spelling in (path, *spellings) for reading in readings(spelling))
        found = (find(self._rules, each, reading) for reading in every for each in methods)
        return tuple({id(rule): rule for rule in found}.values())

    def possible(self, method: str, path: str) -> tuple[Decision, ...]:
        """Return the possible decisions about a request with an ordinary path, as far as its method and path decide.

        There is one decision for each verdict, LET_IN, SIGN_IN and FORBID, in this order, and all have the same rule.
        So the rule's verdict about a person is the index of the decision. The result is empty if the path is not
        ordinary, or if different rules match different readings of the path, or match HEAD and GET.
        """
        if not _ONE_READING.match(path):
            return ()
        rule, *others = (find(self._rules, meant, end) for meant in meant_by(method) for end in (path, shorn(path)))
        if any(other is not rule for other in others):
            return ()
        verdicts, number = (Verdict.LET_IN, Verdict.SIGN_IN, Verdict.FORBID), self.number_of(rule)
        return tuple(Decision(verdict, rule, path, number) for verdict in verdicts)

    def _decide_with_care(
        self, methods: Sequence[str], spellings: Sequence[str], person: PolicySubject | None, foreign_page: bool
    ) -> Decision:
        found: list[Decision] = []
        for spelling in spellings:
            if not (possible := readings(spelling)):
                return Decision(Verdict.AMBIGUOUS, SIGNED_IN, spelling)
            rules = ((find(self._rules, method, reading), reading) for reading in possible for method in methods)
            found += (Decision(rule.judge(person), rule, reading, self.number_of(rule)) for rule, reading in rules)
        if foreign_page:
            return Decision(Verdict.FOREIGN_PAGE, found[0].rule, spellings[0])
        return max(found, key=lambda decision: decision.verdict)

    def shadow_behind(
        self,
        trial: Decision,
        method: str,
        path: str,
        *,
        spellings: Collection[str] = (),
        overrides: Collection[str] = (),
    ) -> int:
        """Return the number of the shadow rule to name for the decision *trial* of the `trial` policy, or 0 for none.

        It is the rule that made the decision, if that is a shadow rule. Otherwise a shadow rule takes its place that
        matches another reading of the path, or another method that is meant. The arguments are those of `decide`.
        """
        if self.trial is None:
            return 0
        if self._is_shadow(trial.number):
            return trial.number  # nearly always
        matching = self.trial.asked(method, path, spellings=spellings, overrides=overrides)
        return next((number for number in map(self.trial.number_of, matching) if self._is_shadow(number)), 0)

    def _is_shadow(self, number: int) -> bool:
        return number > 0 and self.rules[number - 1].shadow

    def number_of(self, rule: Rule) -> int:
        """Return the position of *rule*, from 1. The default rule has the number 0."""
        return self._numbers.get(id(rule), 0)


def about_everybody(possible: tuple[Decision, ...]) -> Decision | None:
    """Return the decision about every signed-in person, out of the *possible* ones.

    Return None if the decision depends on the person, or if *possible* is empty.
    """
    return possible[LET_IN] if possible and possible[LET_IN].rule.allow != "members" else None


def meant_by(method: str) -> tuple[str, ...]:
    """Return the methods whose rules apply to *method*. HEAD has two, because frameworks answer it like GET."""
    method = method.strip().upper()
    return ("HEAD", "GET") if method == "HEAD" else (method,)


def find(rules: Sequence[Rule], method: str, path: str) -> Rule:
    """Return the first rule that matches the request, or the default if there is none."""
    for rule in rules:
        if rule.covers(method, path):
            return rule
    return SIGNED_IN


def is_unambiguous(path: str) -> bool:
    """Tell whether *path* is unambiguous. An ambiguous path is rejected before the rules."""
    return _ONE_READING.match(path) is not None or bool(readings(path))
