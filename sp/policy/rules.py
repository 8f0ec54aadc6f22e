"""Parse the access rules, which are the tables `[[rules]]` of a TOML file, for `sp.policy.decision`.

The gateway does not guess the operator's intention, because a wrong guess could open pages. So it rejects surprising
rules at the start, and reports all errors at once. A rule is rejected if:

- its path contains a pattern, or is spelled as no request can spell it
- it is never reached, because earlier rules match all of its requests
- its path is a path of the gateway itself, where rules do not apply
- it is public, and its prefix includes a path of the gateway; only `/` with `everything = true` is accepted

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sp.policy.decision import Rule, find, is_unambiguous
from sp.routes import Routes

KEYS = {"path", "methods", "allow", "everything", "shadow"}
MEMBERS = ("groups", "users", "email_domains")
ALLOW_WORDS = ("anyone", "signed-in")
MAX_RULES = 1000  # limited because they are tried one by one

_WIDTH = {"anyone": 0, "signed-in": 1, "members": 2}
_METHOD = re.compile(r"[A-Z][A-Z-]{0,30}\Z")
_PATTERN = re.compile(r"[*?#<>{}\[\]^|\\$]")  # used in the patterns of other products; very rare in a path
_DOMAIN = re.compile(r"(?!-)[^@\s*,]+\.[^@\s*,]+\Z")


class RulesRefused(ValueError):
    """Rules that could surprise the operator. `mistakes` has one line for each error."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("; ".join(mistakes))


def parse_rules(tables: object, own: Routes) -> tuple[Rule, ...]:
    """Return the rules in *tables*, the value of `rules` in the TOML file. Raises RulesRefused."""
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise RulesRefused(["rules: write each rule as a separate table with the heading [[rules]]"])
    if len(tables) > MAX_RULES:
        raise RulesRefused([f"rules: at most {MAX_RULES}"])
    mistakes: list[str] = []
    rules: list[Rule | None] = []
    for number, table in enumerate(tables, 1):
        reader = _Reader(table, own)
        rules.append(reader.rule())
        mistakes += [f"rules[{number}]: {mistake}" for mistake in reader.mistakes]
    mistakes += _never_asked(rules)
    if mistakes:
        raise RulesRefused(mistakes)
    return tuple(rule for rule in rules if rule is not None)


def warnings(rules: Sequence[Rule]) -> list[str]:
    """Return a sentence for each rule that may not do what the operator intended."""
    rules = [rule for rule in rules if not rule.shadow]
    return [
        f'the rule for "{rule.path}" does not cover "{rule.path[:-1]}" without the slash at the end'
        for rule in rules
        if len(rule.path) > 1
        and rule.path.endswith("/")
        and _WIDTH[find(rules, min(rule.methods, default="GET"), rule.path[:-1]).allow] < _WIDTH[rule.allow]
    ]


class _Reader:
    """Reads one rule, and collects its errors."""

    def __init__(self, table: Mapping[str, Any], own: Routes) -> None:
        self.mistakes: list[str] = []
        self._table, self._own = table, own

    def rule(self) -> Rule | None:
        for name in self._table.keys() - KEYS:
            self.mistakes.append(f"{name} is unknown: a rule has path, methods, allow and shadow")
        path, methods, allow, shadow = self._path(), self._methods(), self._allow(), self._shadow()
        if path is not None and allow == "anyone":
            self._check_public(path)
        elif "everything" in self._table:
            self.mistakes.append('everything is allowed only with path = "/" and allow = "anyone"')
        if path is None or allow is None or self.mistakes:
            return None
        if isinstance(allow, str):
            return Rule(path, methods, allow, shadow=shadow)
        return Rule(path, methods, "members", shadow=shadow, **allow)

    def _path(self) -> str | None:
        path = self._table.get("path")
        if not isinstance(path, str) or not path.startswith("/"):
            self.mistakes.append("path must be a string that begins with /")
            return None
        if flaw := self._flaw(path):
            self.mistakes.append(f'path "{path}" {flaw}')
            return None
        return path

    def _flaw(self, path: str) -> str | None:
        if found := _PATTERN.search(path):
            return (
                f"has {found[0]}, but patterns are not supported: a path that ends in / is a prefix, any other is exact"
            )
        if "%" in path:
            return "has a %: write the path decoded"
        if not is_unambiguous(path):
            return "has a dot segment, // or a control character: requests with such a path are always rejected"
        if self._own.include(path):
            return "is a path of the gateway itself, where rules do not apply"
        return None

    def _check_public(self, path: str) -> None:
        met = self._own.meet(path) if path.endswith("/") else None
        if path == "/":
            if self._table.get("everything") is not True:
                self.mistakes.append(
                    'path "/" is a prefix: with allow = "anyone" it opens every page of the application. List the '
                    "public paths, or add everything = true if all of them are"
                )
        elif met:
            self.mistakes.append(f'path "{path}" is public, but includes {met}, which belongs to the gateway')
        elif "everything" in self._table:
            self.mistakes.append('everything is allowed only with path = "/"')

    def _methods(self) -> frozenset[str]:
        methods = self._table.get("methods", [])
        if not isinstance(methods, list) or ("methods" in self._table and not methods):
            self.mistakes.append("methods must be a list with at least one method; leave it out to mean every method")
            return frozenset()
        for method in methods:
            if not isinstance(method, str) or not _METHOD.match(method):
                self.mistakes.append(f"methods: {method!r} is not a method: write it in capitals, such as GET")
        return frozenset(method for method in methods if isinstance(method, str))

    def _shadow(self) -> bool:
        shadow = self._table.get("shadow", False)
        if not isinstance(shadow, bool):
            self.mistakes.append("shadow must be true or false")
        return shadow is True

    def _allow(self) -> str | dict[str, frozenset[str]] | None:
        allow = self._table.get("allow")
        if isinstance(allow, str) and allow in ALLOW_WORDS:
            return allow
        if not isinstance(allow, dict) or not allow:
            self.mistakes.append('allow must be "anyone", "signed-in" or a table of groups, users and email_domains')
            return None
        for name in allow.keys() - set(MEMBERS):
            self.mistakes.append(f"allow: {name} is unknown: use groups, users or email_domains")
        return {name: self._members(name, allow[name]) for name in MEMBERS if name in allow}

    def _members(self, name: str, values: object) -> frozenset[str]:
        if not isinstance(values, list) or not values or not all(isinstance(v, str) and v.strip() for v in values):
            self.mistakes.append(f"allow: {name} must be a list with at least one string")
            return frozenset()
        if name == "groups":
            return frozenset(values)
        folded = [value.strip().lower() if value.isascii() else value.strip() for value in values]
        if name == "users":
            self.mistakes += [f"allow: users: {v} is not an e-mail address" for v in folded if v.find("@") < 1]
            return frozenset(folded)
        domains = [value.removeprefix("@") for value in folded]
        self.mistakes += [f"allow: email_domains: {v} is not a domain" for v in domains if not _DOMAIN.match(v)]
        return frozenset(domains)


def _never_asked(rules: Sequence[Rule | None]) -> list[str]:
    """Name each rule that is never reached, because earlier rules match all of its requests."""
    found = []
    for position, rule in enumerate(rules):
        earlier = [
            (number, other)
            for number, other in enumerate(rules[:position], 1)
            if rule is not None
            and other is not None
            and _reaches(other.path, rule.path)
            and (rule.shadow or not other.shadow)
        ]
        answered = frozenset[str]().union(*(other.methods for _number, other in earlier))
        if any(not other.methods for _number, other in earlier) or (rule and rule.methods and rule.methods <= answered):
            numbers = ", ".join(str(number) for number, _other in earlier)
            found.append(
                f"rules[{position + 1}]: never applies: rule {numbers} comes first and matches the same requests"
            )
    return found


def _reaches(path: str, other: str) -> bool:
    return other.startswith(path) if path.endswith("/") else other == path
