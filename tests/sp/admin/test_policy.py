"""/settings/policy: the rules of each site, how often each decided, and who may."""

import re
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest

from lab.cast import ALICE, BOB, CAROL, MALLORY
from tests.sp.gateway.gate import PAGE, SCRIPT, Answer, Gate, make_gate

FILE = """
[[rules]]
path = "/open/"
allow = "anyone"
[[rules]]
path = "/trial/"
allow = { groups = ["admins"] }
shadow = true
[[rules]]
path = "/admin/"
methods = ["GET", "POST"]
allow = { groups = ["admins"] }
[sites.wiki]
url = "http://wiki.example.org"
[[sites.wiki.rules]]
path = "/x"
allow = { email_domains = ["example.com"] }
[[tests]]
request = "GET /admin/"
user = "new@example.com"
expect = "deny"
"""


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    made = make_gate(tmp_path, more=FILE)
    made.person(ALICE)
    made.person(BOB, is_active=False)
    made.person(CAROL, is_admin=True)
    return made


def show(gate: Gate, **query: str) -> str:
    secret = gate.sign_in(CAROL, provider=None)
    answer = gate.ask("/settings/policy", headers=PAGE, secret=secret, query=urlencode(query))
    assert answer.status == 200
    return words(answer)


def words(answer: Answer) -> str:
    """Return the text of a page, its white space folded."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


def test_the_rules_are_listed_with_how_often_each_decided(gate: Gate) -> None:
    alice = gate.sign_in(ALICE)
    for path in ("/open/x", "/open/y", "/trial/x", "/admin/x"):
        gate.ask(path, headers=SCRIPT, secret=alice)
    text = show(gate)
    assert "1 /open/ all anyone 2" in text
    assert "2 shadow /trial/ all group admins would allow 0, ask for a sign-in 0, deny 1" in text
    assert "3 /admin/ GET, POST group admins 1" in text
    assert "none every other path all any signed-in person 1" in text
    assert "wiki http://wiki.example.org" in text
    assert "1 /x all domain example.com 0" in text
    assert f"home, rule 2 {ALICE.email} GET /trial/x allow deny 1" in text
    assert "tests[1]: cannot be decided: the account new@example.com does not exist" in text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"url": "/open/x"}, "GET /open/x allow Decided by rule 1 of the site home"),
        ({"url": "/admin/x"}, "GET /admin/x sign-in Decided by rule 3 of the site home"),
        ({"url": "/admin/x", "who": "person", "email": ALICE.email}, "GET /admin/x deny Decided by rule 3"),
        ({"url": "/admin/x", "who": "person", "email": CAROL.email.upper()}, "GET /admin/x allow Decided by rule 3"),
        ({"url": "/admin/x", "who": "groups", "groups": "a, admins"}, "GET /admin/x allow Decided by rule 3"),
        ({"url": "/admin/x", "who": "groups"}, "(groups: none)"),
        ({"url": "/admin/x", "method": "delete", "who": "groups"}, "DELETE /admin/x allow Site home: no rule matches"),
        ({"url": "/admin/x"}, "rule 1 miss everything below /open/"),
        ({"url": "/admin/x"}, "rule 3 hit everything below /admin/"),
        ({"url": "/open/x"}, "rule 3 not reached"),
        ({"url": "/trial/x", "who": "groups"}, "the shadow rule 2 would deny it"),
        ({"url": "/trial/x", "who": "groups"}, "rule 2 hit (shadow: not enforced)"),
        ({"url": "http://wiki.example.org/x", "who": "person", "email": ALICE.email}, "allow Decided by rule 1"),
        ({"url": "/settings/users"}, "This path belongs to the gateway itself"),
        ({"url": "/a/../b"}, "deny Site home: rules do not apply"),
        ({"url": "http://other.example.org/"}, "This is not a URL of a listed site"),
        ({"url": "open"}, "This is not a URL of a listed site"),
        ({"url": "/x", "method": "<GET>"}, "Enter a method"),
        ({"url": "/" + "x" * 3000}, "at most 2048 characters"),
        ({"url": "/x", "who": "person", "email": "new@example.com"}, "The account new@example.com does not exist"),
        ({"url": "/x", "who": "person"}, "does not exist"),
        ({"url": "/x", "who": "person", "email": BOB.email}, f"{BOB.email} is disabled"),
        ({"url": "/x", "who": "someone"}, "GET /x sign-in"),
    ],
)
def test_who_may_says_what_is_decided_and_by_which_rule(gate: Gate, query: dict[str, str], said: str) -> None:
    assert said in show(gate, **query)


def test_the_deciding_rule_is_linked(gate: Gate) -> None:
    secret = gate.sign_in(CAROL, provider=None)
    page = gate.ask("/settings/policy", headers=PAGE, secret=secret, query="url=/admin/x").text
    assert '<a href="#rule-home-3">' in page
    assert '<tr id="rule-home-3">' in page


def test_attack_what_is_typed_is_shown_as_text(gate: Gate) -> None:
    secret = gate.sign_in(CAROL, provider=None)
    query = urlencode({"url": "/<script>", "who": "groups", "groups": '"><script>', "email": "<script>"})
    page = gate.ask("/settings/policy", headers=PAGE, secret=secret, query=query).text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_only_administrators_see_it(gate: Gate) -> None:
    assert gate.ask("/settings/policy", headers=PAGE).status == 303
    assert gate.ask("/settings/policy", headers=PAGE, secret=gate.sign_in(MALLORY)).status == 403


def test_asking_counts_nothing(gate: Gate) -> None:
    show(gate, url="/admin/x", who="groups")
    assert set(gate.core.rule_counts.totals().values()) == {0}
