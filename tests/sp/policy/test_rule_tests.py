"""The operator's own tests of the rules: what is accepted, and what they say."""

from dataclasses import dataclass
from typing import Any

import pytest

from sp.policy.rule_tests import MAX_TESTS
from sp.request.trusted_proxies import OwnHost
from sp.routes import Routes
from sp.sites.access_file import parse_access, run_tests

HOME = "https://sso.example.org"
FILE: dict[str, Any] = {
    "rules": [
        {"path": "/open/", "allow": "anyone"},
        {"path": "/admin/", "allow": {"groups": ["admins"]}},
        {"path": "/later/", "allow": {"groups": ["admins"]}, "shadow": True},
    ],
    "sites": {
        "wiki": {
            "url": "https://wiki.example.org",
            "rules": [{"path": "/admin/", "methods": ["GET"], "allow": {"users": ["alice@example.org"]}}],
        }
    },
}
GOOD: dict[str, Any] = {"request": "GET /admin/", "nobody": True, "expect": "sign-in"}
OWN = Routes("", HOME)


@dataclass
class Stored:
    email: str
    groups: tuple[str, ...] = ()
    is_active: bool = True


ACCOUNTS = {
    "alice@example.org": Stored("alice@example.org", ("staff",)),
    "bob@example.org": Stored("bob@example.org", ("admins",), is_active=False),
    "carol@example.org": Stored("carol@example.org", ("admins",)),
}


def mistakes(*tests: Any, **more: Any) -> list[str]:
    return parse_access({**FILE, **more, "tests": list(tests)}, OwnHost(HOME), OWN)[1]


def outcome(**test: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    access, found = parse_access({**FILE, "tests": [test]}, OwnHost(HOME), OWN)
    assert found == []
    run = run_tests(access, OWN, ACCOUNTS.get)
    return run.failed, run.undecided


@pytest.mark.parametrize(
    ("request_line", "who", "decision", "rule"),
    [
        ("GET /open/x", {"nobody": True}, "allow", "by rule 1"),
        ("GET /admin/", {"nobody": True}, "sign-in", "by rule 2"),
        ("GET /admin/", {"user": "alice@example.org"}, "deny", "by rule 2"),
        ("GET /admin/", {"user": "carol@example.org"}, "allow", "by rule 2"),
        ("GET /admin/", {"user": "bob@example.org"}, "sign-in", "disabled, so never signed in"),
        ("GET /admin/", {"groups": ["admins"]}, "allow", "by rule 2"),
        ("GET /admin/", {"groups": []}, "deny", "with the groups (none)"),
        ("GET /%2561dmin/", {"groups": []}, "deny", "by rule 2"),
        ("GET /elsewhere?x=1", {"groups": []}, "allow", "no rule matches"),
        ("GET /later/x", {"groups": []}, "allow", "no rule matches"),
        ("GET /a/../b", {"groups": []}, "deny", "rules do not apply"),
        ("GET https://sso.example.org/admin/", {"groups": []}, "deny", "by rule 2"),
        ("GET https://wiki.example.org/admin/", {"user": "alice@example.org"}, "allow", "by rule 1"),
        ("GET https://WIKI.example.org:443/admin/", {"groups": ["admins"]}, "deny", "by rule 1"),
        ("POST https://wiki.example.org/admin/", {"groups": []}, "allow", "no rule matches"),
        ("GET https://wiki.example.org", {"nobody": True}, "sign-in", "no rule matches"),
    ],
)
def test_a_test_says_what_was_decided_and_by_which_rule(
    request_line: str, who: dict[str, Any], decision: str, rule: str
) -> None:
    assert outcome(request=request_line, expect=decision, **who) == ((), ())
    other = "allow" if decision != "allow" else "deny"
    (failed,), undecided = outcome(request=request_line, expect=other, **who)
    assert failed.startswith(f"tests[1]: {request_line} by ")
    assert f"expected {other}, but it is {decision}" in failed
    assert rule in failed
    assert undecided == ()


def test_a_test_about_an_account_that_does_not_exist_is_undecided_and_says_so() -> None:
    failed, (undecided,) = outcome(request="GET /admin/", user="new@example.org", expect="allow")
    assert failed == ()
    assert undecided.startswith("tests[1]: cannot be decided: the account new@example.org does not exist")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"request": None}, "a method and a path or URL"),
        ({"request": 7}, "a method and a path or URL"),
        ({"request": "/admin/"}, "a method and a path or URL"),
        ({"request": "get /admin/"}, "a method and a path or URL"),
        ({"request": "GET  /admin/"}, "a method and a path or URL"),
        ({"request": "GET admin/"}, "must begin with /"),
        ({"request": "GET ftp://wiki.example.org/"}, "must begin with /"),
        ({"request": "GET https://other.example.org/"}, "is not a URL of a listed site"),
        ({"request": "GET http://wiki.example.org/"}, "is not a URL of a listed site"),
        ({"request": "GET https://wiki.example.org.evil.example/"}, "is not a URL of a listed site"),
        ({"request": "GET https://wiki.example.org:8443/"}, "is not a URL of a listed site"),
        ({"request": "GET https://a@wiki.example.org/"}, "is not a URL of a listed site"),
        ({"request": "GET /settings/users"}, "a path of the gateway itself"),
        ({"request": "GET https://wiki.example.org/logout"}, "a path of the gateway itself"),
        ({"expect": None}, "expect must be one of: allow, sign-in, deny"),
        ({"expect": "forbid"}, "expect must be one of"),
        ({"nobody": False}, "nobody must be true"),
        ({"user": "alice@example.org"}, "exactly one of user, groups, nobody"),
        ({"nobody": None, "users": ["alice@example.org"]}, "users is unknown"),
        ({"nobody": None}, "exactly one of user, groups, nobody"),
        ({"nobody": None, "user": "alice"}, "e-mail address of an account"),
        ({"nobody": None, "user": ["alice@example.org"]}, "e-mail address of an account"),
        ({"nobody": None, "groups": "staff"}, "groups must be a list"),
        ({"nobody": None, "groups": [1]}, "groups must be a list"),
    ],
)
def test_a_test_that_cannot_be_understood_is_refused(change: dict[str, Any], said: str) -> None:
    test = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    found = mistakes(GOOD, test)
    assert any(said in mistake for mistake in found), found
    assert all(mistake.startswith("tests[2]: ") for mistake in found)


def test_every_error_is_reported_at_once_with_its_place() -> None:
    found = mistakes({}, {**GOOD, "expect": "no"}, rules=[{"path": "/*"}], sites={"wiki": {"url": "x"}})
    assert [line.partition(":")[0] for line in found] == [
        *("rules[1]", "rules[1]", "sites.wiki.url"),
        *("tests[1]", "tests[1]", "tests[1]", "tests[2]"),
    ]


def test_urls_are_not_called_unlisted_while_the_sites_have_errors() -> None:
    test = {**GOOD, "request": "GET https://wiki.example.org/"}
    assert mistakes(test, sites={"wiki": {"url": "https://wiki.example.org/path"}}) == [
        "sites.wiki.url: must be http://host or https://host, optionally with a port, and without a path"
    ]


@pytest.mark.parametrize("tests", [{"request": "GET /"}, "x", [1]])
def test_the_form_of_the_list_is_checked(tests: Any) -> None:
    assert parse_access({"tests": tests}, OwnHost(HOME), OWN)[1] == [
        "tests: write each test as a separate table with the heading [[tests]]"
    ]


def test_the_number_of_tests_is_bounded() -> None:
    assert mistakes(*[GOOD] * MAX_TESTS) == []
    assert mistakes(*[GOOD] * (MAX_TESTS + 1)) == [f"tests: at most {MAX_TESTS}"]
