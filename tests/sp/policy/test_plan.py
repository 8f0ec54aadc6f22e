"""What a change of the rules does: which rules differ, and exactly who gains and loses access."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sp.policy.decision import Rule
from sp.policy.explain import Someone
from sp.policy.plan import AccessPlan, Place, compare, places_of, plan

GROUPS = ("a", "b", "c", "d")
DOMAINS = ("x.example", "y.example")
ADMINS = Rule("/admin/", allow="members", groups=frozenset({"a"}))


def planned(before: Any, after: Any, people: Iterable[Someone] = ()) -> AccessPlan:
    crowd = ((person.email, person.groups) for person in people)
    return plan(before, after, crowd, lambda _what, _number: None)


def gains(found: AccessPlan) -> list[tuple[str, Place]]:
    return [(email, each.place) for each in found.gains for email in found.emails(each)]


def loses(found: AccessPlan) -> list[tuple[str, Place]]:
    return [(email, each.place) for each in found.loses for email in found.emails(each)]


# An independent check: every person at every place, by a reading of the rules that shares nothing with the program.


def admits(rule: Rule, person: Someone | None) -> bool:
    if rule.allow == "anyone":
        return True
    if person is None:
        return False
    if rule.allow == "signed-in":
        return True
    email = person.email.lower()
    return email in rule.users or email.split("@")[1] in rule.email_domains or bool(set(person.groups) & rule.groups)


def access(rules: Sequence[Rule] | None, method: str, path: str, person: Someone | None) -> bool:
    """Tell whether the first rule that matches admits *person*, with and without the slash at the end of the path."""
    if rules is None:
        return False
    for spelling in {path, path.rstrip("/") or "/"}:
        for meant in ("GET", "HEAD") if method == "HEAD" else (method,):
            matching = [
                rule
                for rule in rules
                if not rule.shadow
                and (not rule.methods or meant in rule.methods)
                and (spelling.startswith(rule.path) if rule.path.endswith("/") else spelling == rule.path)
            ]
            if not (admits(matching[0], person) if matching else person is not None):
                return False
    return True


simple_paths = st.lists(st.sampled_from(("p", "q", "page")), max_size=2).flatmap(
    lambda parts: st.sampled_from(("/" + "/".join(parts), "/" + "".join(f"{part}/" for part in parts)))
)
some_groups = st.frozensets(st.sampled_from(GROUPS), max_size=2)
emails = st.builds("{}@{}".format, st.sampled_from(("ann", "Ben", "cy")), st.sampled_from((*DOMAINS, "z.example")))
rules = st.builds(
    Rule,
    simple_paths,
    st.frozensets(st.sampled_from(("GET", "HEAD", "POST", "DELETE")), max_size=2),
    st.sampled_from(("anyone", "signed-in", "members", "members")),
    some_groups,
    st.frozensets(emails.map(str.lower), max_size=1),
    st.frozensets(st.sampled_from(DOMAINS), max_size=1),
    st.booleans(),
)
sites = st.dictionaries(st.sampled_from(("home", "wiki")), st.lists(rules, max_size=5), max_size=2)
people = st.lists(st.builds(Someone, emails, some_groups.map(tuple)), max_size=8, unique_by=lambda each: each.email)


@settings(max_examples=150, deadline=None)
@given(before=sites, after=sites, people=people)
def test_exactly_the_people_are_named_whom_a_check_of_everybody_names(
    before: dict[str, list[Rule]], after: dict[str, list[Rule]], people: list[Someone]
) -> None:
    found = planned(before, after, people)
    more: set[tuple[str, Place]] = set()
    less: set[tuple[str, Place]] = set()
    opened: set[Place] = set()
    closed: set[Place] = set()
    for place in places_of(before, after):
        for person in (*people, None):
            had = access(before.get(place.site), place.method, place.path, person)
            has = access(after.get(place.site), place.method, place.path, person)
            if person is None:
                (opened if has else closed).update({place} if has != had else ())
            elif has != had:
                (more if has else less).add((person.email, place))
    assert set(gains(found)) == more
    assert set(loses(found)) == less
    assert (set(found.opened), set(found.closed)) == (opened, closed)
    assert len(gains(found)) == len(more), "nobody is named twice at a place"
    assert len(loses(found)) == len(less), "nobody is named twice at a place"


@settings(max_examples=100, deadline=None)
@given(before=sites, after=sites, people=people, path=simple_paths, method=st.sampled_from(("GET", "HEAD", "POST")))
def test_nobody_loses_or_gains_at_a_method_or_page_that_stands_for_others_only(
    before: dict[str, list[Rule]], after: dict[str, list[Rule]], people: list[Someone], path: str, method: str
) -> None:
    """Places are a choice: each person who is affected at a path of a rule, by any method, is named somewhere."""
    found = planned(before, after, people)
    named = {email for email, place in (*gains(found), *loses(found))}
    for site in {*before, *after}:
        for rule in (*before.get(site, ()), *after.get(site, ())):
            for person in people:
                for asked in ("GET", "HEAD", "POST", "DELETE", "PUT", "BREW"):
                    if rule.methods and asked not in rule.methods:
                        continue
                    had = access(before.get(site), asked, rule.path, person)
                    has = access(after.get(site), asked, rule.path, person)
                    assert had == has or person.email in named


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([ADMINS], ["GET /admin/", "GET /admin/page"]),
        ([Rule("/x")], ["GET /x"]),
        ([Rule("/x", frozenset({"PUT"}))], ["PUT /x"]),
        ([Rule("/x", frozenset({"GET"})), Rule("/x")], ["GET /x", "POST /x"]),
        ([Rule("/x/"), Rule("/x/page")], ["GET /x/", "GET /x/page-0", "GET /x/page"]),
    ],
)
def test_places_are_those_that_rules_name(rules: list[Rule], expected: list[str]) -> None:
    found = places_of({"home": []}, {"home": rules})
    assert [f"{place.method} {place.path}" for place in found] == expected


def test_a_site_without_rules_that_comes_or_goes_is_one_place() -> None:
    ann = Someone("ann@x.example")
    assert gains(planned({}, {"wiki": []}, [ann])) == [("ann@x.example", Place("wiki", "GET", "/"))]
    assert loses(planned({"wiki": []}, {}, [ann])) == [("ann@x.example", Place("wiki", "GET", "/"))]
    assert places_of({"wiki": []}, {"wiki": []}) == []


def test_rules_that_differ_are_named_with_their_site_and_number() -> None:
    members = Rule("/admin/", allow="members", groups=frozenset({"b"}))
    gone, come = Rule("/gone"), Rule("/come", frozenset({"GET"}), "anyone")
    found = compare({"home": [ADMINS, gone]}, {"home": [come, members], "wiki": [ADMINS]})
    assert [(each.site, each.number, each.path, each.methods) for each in found.added] == [
        ("home", 1, "/come", ("GET",)),
        ("wiki", 1, "/admin/", ()),
    ]
    assert [(each.site, each.number, each.path) for each in found.removed] == [("home", 2, "/gone")]
    assert [(each.number, each.before, each.after) for each in found.changed] == [(2, "group a", "group b")]


def test_rules_in_another_order_have_changed_and_equal_ones_have_not() -> None:
    exact = Rule("/admin/x", allow="anyone")
    found = compare({"home": [exact, ADMINS]}, {"home": [ADMINS, exact]})
    assert [(each.before, each.after) for each in found.changed] == [("group a, as rule 2", "group a, as rule 1")]
    assert (found.added, found.removed) == ([], [])
    assert compare({"home": [exact, ADMINS]}, {"home": [exact, ADMINS]}).changed == []


def test_a_shadow_rule_that_begins_to_count_has_changed() -> None:
    trial = Rule("/admin/", allow="members", groups=frozenset({"a"}), shadow=True)
    found = planned({"home": [trial]}, {"home": [ADMINS]}, [Someone("ann@x.example")])
    assert [(each.before, each.after) for each in found.rules.changed] == [("group a (shadow)", "group a")]
    assert len(loses(found)) == 2


def test_a_change_that_touches_few_places_is_fast_with_many_accounts_and_rules() -> None:
    """The time is that of many accounts, not of accounts times places; 20,000 of each would take minutes otherwise."""
    many = [Rule(f"/area-{number}/", allow="members", groups=frozenset({f"g{number}"})) for number in range(200)]
    changed = [*many[:-1], Rule("/area-199/", allow="members", groups=frozenset({"other"}))]
    crowd = ((f"p{number}@x.example", (f"g{number % 300}", f"g{number * 7 % 300}")) for number in range(20_000))
    calls: list[str] = []
    found = plan({"home": many}, {"home": changed}, crowd, lambda what, _number: calls.append(what))
    assert {place for _email, place in loses(found)} == {
        Place("home", "GET", "/area-199/"),
        Place("home", "GET", "/area-199/page"),
    }
    assert (calls.count("places"), calls.count("accounts")) == (2, 20)
