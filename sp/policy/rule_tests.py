"""Parse and run the operator's own tests of the rules, which are the tables `[[tests]]` in the file of SP_CONFIG.

A test names a request, a person and the expected decision. It is decided by the same function as a real request. If a
test names an account that does not exist, it cannot be decided. This is not a failure, because a new installation has
no accounts. But such a test is reported as *undecided* wherever tests run.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from sp.policy.decision import Policy, PolicySubject, is_unambiguous
from sp.policy.explain import DECISIONS, Someone, explain
from sp.policy.rules import RulesRefused
from sp.routes import Routes

KEYS = {"request", "user", "groups", "nobody", "expect"}
WHO = ("user", "groups", "nobody")
ONE_OF_WHO = ", ".join(WHO)
MAX_TESTS = 1000  # limited because they run at every start

_REQUEST = re.compile(r"([A-Z][A-Z-]{0,30}) (\S{1,4096})\Z")

Locate = Callable[[str], "tuple[str, str] | None"]
"""Returns the site that a path or an absolute URL leads to, and the path with its query at that site."""


class StoredAccount(PolicySubject, Protocol):
    """The part of an account that tests need."""

    @property
    def is_active(self) -> bool: ...


@dataclass(frozen=True)
class RuleTest:
    """One test. The person is an account (`user`) or somebody with `groups`. With neither, it is a visitor."""

    number: int
    request: str
    site: str
    method: str
    path: str
    expect: str
    user: str = ""
    groups: tuple[str, ...] | None = None

    @property
    def who(self) -> str:
        """The person, in words."""
        if self.user:
            return self.user
        if self.groups is None:
            return "a visitor who is not signed in"
        return f"a person with the groups {', '.join(self.groups) or '(none)'}"


@dataclass(frozen=True)
class TestsRun:
    """The results of tests. Each failed test and each undecided test is one line of text."""

    __test__ = False  # for pytest

    failed: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()


def parse_tests(tables: object, own: Routes, locate: Locate | None) -> tuple[RuleTest, ...]:
    """Return the tests in *tables*, the value of `tests` in the TOML file. Raises RulesRefused with every error.

    If the sites could not be parsed, *locate* is None, and URLs are not looked up.
    """
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise RulesRefused(["tests: write each test as a separate table with the heading [[tests]]"])
    if len(tables) > MAX_TESTS:
        raise RulesRefused([f"tests: at most {MAX_TESTS}"])
    mistakes: list[str] = []
    tests: list[RuleTest] = []
    for number, table in enumerate(tables, 1):
        reader = _TestReader(number, table, own, locate)
        if (test := reader.test()) is not None:
            tests.append(test)
        mistakes += [f"tests[{number}]: {mistake}" for mistake in reader.mistakes]
    if mistakes:
        raise RulesRefused(mistakes)
    return tuple(tests)


def run(
    tests: Iterable[RuleTest],
    policies: Mapping[str, Policy],
    own: Routes,
    find: Callable[[str], StoredAccount | None],
) -> TestsRun:
    """Decide each test by the policy of its site. *find* returns the account with an e-mail address, or None."""
    account = cache(find)
    failed, undecided = [], []
    for test in tests:
        person, note = _person(test, account)
        if test.user and account(test.user) is None:
            undecided.append(
                f"tests[{test.number}]: cannot be decided: the account {test.user} does not exist. Create it, let the "
                "person sign in once, or name groups instead"
            )
            continue
        found = explain(policies[test.site], own, test.method, test.path, person, test.site)
        if found.decision != test.expect:
            failed.append(
                f"tests[{test.number}]: {test.request} by {test.who}{note}: expected {test.expect}, but it is "
                f"{found.in_short}"
            )
    return TestsRun(tuple(failed), tuple(undecided))


def _person(test: RuleTest, account: Callable[[str], StoredAccount | None]) -> tuple[PolicySubject | None, str]:
    if test.groups is not None:
        return Someone("", test.groups), ""
    known = account(test.user) if test.user else None
    if known is not None and not known.is_active:
        return None, " (disabled, so never signed in)"
    return known, ""


class _TestReader:
    """Reads one test, and collects its errors."""

    def __init__(self, number: int, table: Mapping[str, Any], own: Routes, locate: Locate | None) -> None:
        self.mistakes: list[str] = []
        self._number, self._table, self._own, self._locate = number, table, own, locate

    def test(self) -> RuleTest | None:
        for name in sorted(self._table.keys() - KEYS):
            self.mistakes.append(f"{name} is unknown: a test has request, expect, and one of {ONE_OF_WHO}")
        request, expect = self._request(), self._expect()
        who = self._who()
        if self.mistakes or request is None or expect is None:
            return None
        method, site, path = request
        return RuleTest(self._number, self._table["request"], site, method, path, expect, **who)

    def _request(self) -> tuple[str, str, str] | None:
        request = self._table.get("request")
        found = _REQUEST.match(request) if isinstance(request, str) else None
        if found is None:
            self.mistakes.append('request must be a method and a path or URL, such as "GET /admin/"')
            return None
        method, target = found.groups()
        if not target.startswith(("/", "http://", "https://")):
            self.mistakes.append(f"request: {target} must begin with / (a path at home) or be the URL of a listed site")
            return None
        if self._locate is None:
            return None
        if (place := self._locate(target)) is None:
            self.mistakes.append(f"request: {target} is not a URL of a listed site")
            return None
        site, path = place
        plain = path.partition("?")[0]
        if is_unambiguous(plain) and self._own.include(plain):
            self.mistakes.append(f"request: {target} is a path of the gateway itself, where rules do not apply")
        return method, site, path

    def _expect(self) -> str | None:
        expect = self._table.get("expect")
        if expect not in DECISIONS:
            self.mistakes.append(f"expect must be one of: {', '.join(DECISIONS)}")
            return None
        return str(expect)

    def _who(self) -> dict[str, Any]:
        named = [name for name in WHO if name in self._table]
        if len(named) != 1:
            self.mistakes.append(f"give exactly one of {ONE_OF_WHO}")
            return {}
        value = self._table[named[0]]
        match named[0]:
            case "user" if not isinstance(value, str) or value.find("@") < 1:
                self.mistakes.append("user must be the e-mail address of an account")
            case "groups" if not _is_texts(value):
                self.mistakes.append("groups must be a list of strings; an empty list is a person without groups")
            case "nobody" if value is not True:
                self.mistakes.append(f"{named[0]} must be true")
            case "user":
                return {"user": value}
            case "groups":
                return {"groups": tuple(value)}
        return {}


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
