"""Compare two sets of rules. Show which rules change, and who gains or loses access at which place.

A *place* is a site, a method and a path that a rule names in either set. For a rule with a prefix, there are two
places: the path of the prefix, and a page below it. A rule without methods applies to every method. So it has a place
for each method that some rule of the site names, and for one other method, usually GET. The other method represents all
methods that no rule names, because the rules treat those alike. Only HEAD is an exception if a rule names GET, because
HEAD is also checked as GET.

`sp.policy.decision` makes every decision. There may be many accounts. So accounts that match the same groups, users and
domains in the rules of a place are decided together, because the rules treat them alike. A set of accounts is an
integer, with one bit for each account.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import NamedTuple

from sp.policy.decision import Policy, Rule, Verdict
from sp.policy.explain import Someone, admitted, describe

USUAL = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OTHER = "X-OTHER"  # used if rules name every method in USUAL
PAGE = "page"  # name of a page below a prefix

Rules = Mapping[str, Sequence[Rule]]
"""The rules of each site by its name."""

Person = tuple[str, tuple[str, ...]]
"""The e-mail and the groups of an account."""

Progress = Callable[[str, int], None]
"""Called with the current step and with the number of items that are already done."""


class Place(NamedTuple):
    """A site, a method and a path to decide about."""

    site: str
    method: str
    path: str


@dataclass(frozen=True)
class RuleChange:
    """A rule that is in only one of the two sets, or differs between them. `number` is its position, from 1."""

    site: str
    number: int
    path: str
    methods: tuple[str, ...]
    before: str
    after: str


@dataclass
class RuleChanges:
    """The rules that are added, removed or changed. Path and methods identify a rule."""

    added: list[RuleChange] = field(default_factory=list)
    removed: list[RuleChange] = field(default_factory=list)
    changed: list[RuleChange] = field(default_factory=list)


@dataclass
class Affected:
    """The set of accounts that gain or lose access at a place. `AccessPlan.emails` returns their e-mails."""

    place: Place
    accounts: int = 0

    @property
    def count(self) -> int:
        """The number of affected accounts."""
        return self.accounts.bit_count()


@dataclass
class AccessPlan:
    """What would change. Visitors who are not signed in gain access to the places `opened`, and lose it at `closed`."""

    rules: RuleChanges
    gains: list[Affected] = field(default_factory=list)
    loses: list[Affected] = field(default_factory=list)
    opened: list[Place] = field(default_factory=list)
    closed: list[Place] = field(default_factory=list)
    everybody: list[str] = field(default_factory=list)

    def emails(self, affected: Affected) -> Iterator[str]:
        """Yield the e-mails of the accounts that are affected at a place."""
        return (self.everybody[number] for number in numbers_in(affected.accounts))


def plan(before: Rules, after: Rules, people: Iterable[Person], progress: Progress) -> AccessPlan:
    """Return what changes for each of *people* if the rules *after* replace the rules *before*."""
    sides = _Sides(before, after)
    places = [place for place in places_of(before, after) if sides.may_differ(place)]
    crowd = _Crowd([rule for place in places for rule in sides.rules_at(place)], people, progress)
    found = AccessPlan(compare(before, after), everybody=crowd.emails)
    for number, place in enumerate(places):
        progress("places", number)
        _decide(sides, place, crowd, found)
    return found


def places_of(before: Rules, after: Rules) -> list[Place]:
    """Return every place that a rule names, in the order of sites and rules.

    If a site is added or removed and has no rules, it has the place "/".
    """
    found: dict[Place, None] = {}
    for site in dict.fromkeys((*after, *before)):
        rules = (*after.get(site, ()), *before.get(site, ()))
        methods = _methods_of(rules)
        child = _child_of(rules)
        for rule in rules:
            paths = (rule.path, rule.path + child) if rule.path.endswith("/") else (rule.path,)
            found |= {Place(site, name, path): None for path in paths for name in sorted(rule.methods) or methods}
        if not rules and not (site in before and site in after):
            found[Place(site, methods[0], "/")] = None
    return list(found)


def _methods_of(rules: Iterable[Rule]) -> list[str]:
    """Return every method that a rule names, and one other method."""
    named = {method for rule in rules for method in rule.methods}
    return [*sorted(named), next((method for method in USUAL if method not in named), OTHER)]


def _child_of(rules: Iterable[Rule]) -> str:
    """Return a name for a page below a prefix. No rule's path has a part with this name."""
    parts = {part for rule in rules for part in rule.path.split("/")}
    return next(name for name in (PAGE, *(f"{PAGE}-{number}" for number in range(len(parts) + 1))) if name not in parts)


class _Sides:
    """Decides by the rules before the change, and by the rules after it."""

    def __init__(self, before: Rules, after: Rules) -> None:
        self._before = {site: Policy(rules) for site, rules in before.items()}
        self._after = {site: Policy(rules) for site, rules in after.items()}

    def may_differ(self, place: Place) -> bool:
        """Tell whether the matching rules allow different people before and after."""
        before, after = (
            {(rule.allow, rule.groups, rule.users, rule.email_domains) for rule in rules} if rules is not None else None
            for rules in self._asked(place)
        )
        return before != after

    def rules_at(self, place: Place) -> list[Rule]:
        """Return all rules that match a place."""
        return [rule for rules in self._asked(place) for rule in rules or ()]

    def allow(self, place: Place, person: Someone | None) -> tuple[bool, bool]:
        """Return whether *person* has access before, and whether after. A site that is not listed gives no access."""
        before, after = (
            policy is not None and policy.decide(place.method, place.path, person).verdict is Verdict.LET_IN
            for policy in (self._before.get(place.site), self._after.get(place.site))
        )
        return before, after

    def _asked(self, place: Place) -> Iterator[tuple[Rule, ...] | None]:
        for policy in (self._before.get(place.site), self._after.get(place.site)):
            yield None if policy is None else policy.asked(place.method, place.path)


class _Crowd:
    """The accounts, and the set of accounts for each group, e-mail and domain that *rules* name."""

    def __init__(self, rules: Iterable[Rule], people: Iterable[Person], progress: Progress) -> None:
        self.emails: list[str] = []
        self._groups: list[tuple[str, ...]] = []
        named: dict[tuple[str, str], list[int]] = {}
        for rule in rules:
            named |= {member: [] for members in _members(rule) for member in members}
        names_emails = any(kind != GROUP for kind, _value in named)
        of_groups: dict[tuple[str, ...], list[list[int]]] = {}
        for number, (email, groups) in enumerate(people):
            if not number % 1000:
                progress("accounts", number)
            self.emails.append(email)
            self._groups.append(groups)
            if groups not in of_groups:
                of_groups[groups] = [named[GROUP, name] for name in set(groups) if (GROUP, name) in named]
            for numbers in of_groups[groups]:
                numbers.append(number)
            if names_emails:
                for member in _by_email(email):
                    if member in named:
                        named[member].append(number)
        self._of = {member: _set_of(numbers, len(self.emails)) for member, numbers in named.items()}

    def classes(self, rules: Iterable[Rule]) -> list[int]:
        """Divide all accounts into sets. *rules* treat all accounts in a set alike."""
        cells = [(1 << len(self.emails)) - 1]
        for rule in rules:
            for members in _members(rule):
                inside = 0
                for member in members:
                    inside |= self._of[member]
                cells = [part for cell in cells for part in (cell & inside, cell & ~inside) if part]
        return [cell for cell in cells if cell]

    def example(self, accounts: int) -> Someone:
        """Return one account of a set."""
        number = (accounts & -accounts).bit_length() - 1
        return Someone(self.emails[number], self._groups[number])


USER, GROUP, DOMAIN = "user", "group", "domain"


def _members(rule: Rule) -> Iterator[list[tuple[str, str]]]:
    for kind, values in ((GROUP, rule.groups), (USER, rule.users), (DOMAIN, rule.email_domains)):
        yield [(kind, value) for value in values]


def _by_email(email: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the parts of an e-mail that rules may name, spelled as rules spell them."""
    folded = email.lower() if email.isascii() else email
    return (USER, folded), (DOMAIN, folded.rpartition("@")[2])


def _set_of(numbers: Iterable[int], most: int) -> int:
    octets = bytearray(most // 8 + 1)
    for number in numbers:
        octets[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(octets, "little")


def numbers_in(accounts: int) -> Iterator[int]:
    """Yield the positions of the accounts of a set in `AccessPlan.everybody`."""
    for position, octet in enumerate(accounts.to_bytes(accounts.bit_length() // 8 + 1, "little")):
        if octet:
            yield from (8 * position + bit for bit in range(8) if octet >> bit & 1)


def _decide(sides: _Sides, place: Place, crowd: _Crowd, found: AccessPlan) -> None:
    """Add the accounts that gain or lose access at *place* to *found*."""
    gains, loses = Affected(place), Affected(place)
    for accounts in crowd.classes(sides.rules_at(place)):
        match sides.allow(place, crowd.example(accounts)):
            case False, True:
                gains.accounts |= accounts
            case True, False:
                loses.accounts |= accounts
    found.gains += [gains] if gains.accounts else []
    found.loses += [loses] if loses.accounts else []
    match sides.allow(place, None):
        case False, True:
            found.opened.append(place)
        case True, False:
            found.closed.append(place)


def compare(before: Rules, after: Rules) -> RuleChanges:
    """Return the rules that differ. A rule counts as changed if it moved behind another rule."""
    found = RuleChanges()
    for site in dict.fromkeys((*after, *before)):
        old, new = _keyed(before.get(site, ())), _keyed(after.get(site, ()))
        gone = [(number, rule) for key, (number, rule) in old.items() if key not in new]
        come = [(number, rule) for key, (number, rule) in new.items() if key not in old]
        found.removed += [_change(site, number, rule, describe(rule), "") for number, rule in gone]
        found.added += [_change(site, number, rule, "", describe(rule)) for number, rule in come]
        moved = _moved([key for key in old if key in new], [key for key in new if key in old])
        for key, (number, rule) in new.items():
            was_at, was = old.get(key, (0, rule))
            if was_at and (was != rule or key in moved):
                texts = [f"{admitted(each)}{' (shadow)' if each.shadow else ''}" for each in (was, rule)]
                if key in moved:
                    texts = [f"{texts[0]}, as rule {was_at}", f"{texts[1]}, as rule {number}"]
                found.changed.append(_change(site, number, rule, *texts))
    return found


_Key = tuple[str, frozenset[str], int]


def _keyed(rules: Sequence[Rule]) -> dict[_Key, tuple[int, Rule]]:
    """Return the position and the rule by path, methods and a count.

    The count is needed because a shadow rule may have the same path and methods as another rule.
    """
    found: dict[_Key, tuple[int, Rule]] = {}
    for number, rule in enumerate(rules, 1):
        times = next(times for times in range(len(rules)) if (rule.path, rule.methods, times) not in found)
        found[rule.path, rule.methods, times] = number, rule
    return found


def _moved(before: Sequence[_Key], after: Sequence[_Key]) -> set[_Key]:
    """Return the rules whose order differs."""
    blocks = SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    kept = {key for block in blocks for key in after[block.b : block.b + block.size]}
    return set(after) - kept


def _change(site: str, number: int, rule: Rule, before: str, after: str) -> RuleChange:
    return RuleChange(site, number, rule.path, tuple(sorted(rule.methods)), before, after)
