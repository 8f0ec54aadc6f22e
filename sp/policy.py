"""The one decision of the gateway: request facts and identity in; let in, sign in or refuse out.

Pure, so that the three skins (WSGI middleware, nginx, forward-auth) cannot differ in what they decide, and so that it
can be tried on every path without a server. First the path: whatever has two readings is refused before any rule.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from sp.redirects import is_plain_path


class Verdict(Enum):
    """What to do with a request."""

    LET_IN = "let in"
    SIGN_IN = "sign in"
    FORBID = "forbid"
    AMBIGUOUS = "ambiguous path"


@dataclass(frozen=True)
class Rule:
    """Who may send a request. `path` is a prefix if it ends in "/", else exact; no `methods` means all.

    `allow` is "anyone", "signed-in", or "members": one of the groups, users (e-mail) or e-mail domains.
    """

    path: str
    methods: frozenset[str] = frozenset()
    allow: str = "signed-in"
    groups: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    email_domains: frozenset[str] = frozenset()

    def covers(self, method: str, path: str) -> bool:
        """Tell whether this rule is about the request."""
        if self.methods and method not in self.methods:
            return False
        return path.startswith(self.path) if self.path.endswith("/") else path == self.path

    def admits(self, email: str, groups: Collection[str]) -> bool:
        """Tell whether a signed-in person may pass."""
        if self.allow != "members":
            return True
        address = email.lower()
        return (
            address in self.users
            or address.rpartition("@")[2] in self.email_domains
            or not self.groups.isdisjoint(groups)
        )


SIGNED_IN = Rule(path="/")  # no rule matches: any signed-in person


@dataclass(frozen=True)
class Decision:
    """A verdict and the rule that it comes from."""

    verdict: Verdict
    rule: Rule


def decide(rules: Collection[Rule], method: str, path: str, person: tuple[str, Collection[str]] | None) -> Decision:
    """Return what to do with *method* *path* for *person* (e-mail and groups), or for nobody."""
    if not is_unambiguous(path):
        return Decision(Verdict.AMBIGUOUS, SIGNED_IN)
    rule = next((rule for rule in rules if rule.covers(method, path)), SIGNED_IN)
    if rule.allow == "anyone":
        return Decision(Verdict.LET_IN, rule)
    if person is None:
        return Decision(Verdict.SIGN_IN, rule)
    return Decision(Verdict.LET_IN if rule.admits(*person) else Verdict.FORBID, rule)


def is_unambiguous(path: str) -> bool:
    """Tell whether *path* (decoded once, without query) has one reading only; true for `*` of OPTIONS as well."""
    return path.startswith("/") and is_plain_path(path)
