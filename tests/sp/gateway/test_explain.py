"""`flask --app sp explain`: which rule decides, and why."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from lab.cast import ALICE, BOB, CAROL
from tests.sp.gateway.gate import Gate, make_gate


@pytest.fixture
def explain(gate: Gate) -> Callable[..., Result]:
    """Return the function that runs the command on a gate where Alice, Bob (disabled) and Carol have accounts."""
    gate.person(ALICE)
    gate.person(BOB, is_active=False)
    gate.person(CAROL)
    runner = gate.gateway.own.test_cli_runner()
    return lambda *arguments: runner.invoke(args=["explain", *arguments])


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["GET", "/public/x"], 0, [": allow", "rule 1: everything below /public/, GET, HEAD: anyone"]),
        (["POST", "/public/x"], 0, [": sign-in", "no rule matches", "rule 1 has the path but not the method"]),
        (["GET", "/exact"], 0, [": allow", "rule 2: exactly /exact, every method: anyone"]),
        (["GET", "/page", "--user", ALICE.email], 0, [": allow", "no rule matches"]),
        (["GET", "/admin/x", "--user", ALICE.email], 1, [": deny", "rule 3", "groups: staff"]),
        (["GET", "/admin/x", "--user", CAROL.email], 0, [": allow", "rule 3", "matches the rule"]),
        (["GET", "/admin", "--user", ALICE.email], 0, [": allow", "rule 3 is for /admin/, which is a different path"]),
        (["GET", "/%61dmin/x", "--user", ALICE.email], 1, [": deny", "rule 3"]),
        (["GET", "/%2561dmin/x", "--user", ALICE.email], 1, ["an application may read the path as /admin/x"]),
        (
            ["GET", "/public%2Fx"],
            0,
            [": sign-in", "an application may read the path as /public%2Fx", "the request has no signed-in person"],
        ),
        (["GET", "/%70ublic/x"], 0, [": sign-in", "an application may read the path as /%70ublic/x"]),
        (["GET", "/public/caf%C3%A9"], 0, [": allow", "rule 1"]),
        (["GET", "/public/café/журнал"], 0, [": allow", "rule 1"]),
        (["GET", "/public/../x"], 1, ["ambiguous", "rejected before any rule"]),
        (["GET", "/public/%ff"], 1, ["ambiguous"]),
        (["GET", "/public/x?y=/../"], 0, [": allow", "rules ignore the query"]),
        (["GET", "/public/x?_method=DELETE"], 0, [": sign-in", "the query names the method DELETE"]),
        (["GET", "/login"], 0, [": allow", "rules do not apply"]),
        (["get", "/public/x"], 0, [": allow"]),
        (["GET", "/page", "--user", "new@example.com"], 0, [": allow"]),
        (["GET", "/page", "--user", BOB.email], 1, ["is disabled"]),
    ],
)
def test_a_decision_is_explained(
    explain: Callable[..., Result], arguments: list[str], status: int, said: list[str]
) -> None:
    result = explain(*arguments)
    assert result.exit_code == status, result.output
    for words in said:
        assert words in result.output


def test_programs_read_json(explain: Callable[..., Result]) -> None:
    found = json.loads(explain("GET", "/admin/x", "--user", CAROL.email, "--json").stdout)
    assert (found["decision"], found["rule"], found["refused"]) == ("allow", 3, False)
    assert "verdict" not in found, "one word for one thing: the decision"
    assert (found["own_path"], json.loads(explain("GET", "/login", "--json").stdout)["own_path"]) == (False, True)
    assert found["user"] == CAROL.email


def test_each_rule_is_a_hit_a_miss_or_not_reached(explain: Callable[..., Result]) -> None:
    found = json.loads(explain("GET", "/admin/x", "--user", ALICE.email, "--json").stdout)
    assert (found["decision"], found["site"], found["rule"]) == ("deny", "home", 3)
    assert [(rule["number"], rule["path"], rule["result"]) for rule in found["rules"]] == [
        (1, "/public/", "miss"),
        (2, "/exact", "miss"),
        (3, "/admin/", "hit"),
        (4, "/for-carol/", "not reached"),
        (5, "/partners/", "not reached"),
    ]
    output = explain("GET", "/admin/x").output
    assert "miss         rule 2: exactly /exact" in output
    assert "not reached  rule 4: everything below /for-carol/" in output


@pytest.mark.parametrize(
    ("path", "decision", "rule", "results"),
    [
        ("/page", "sign-in", None, {"miss"}),
        ("/exact", "allow", 2, {"miss", "hit", "not reached"}),
        ("/a/../b", "deny", None, {"not reached"}),
        ("/settings/users", "allow", None, {"not reached"}),
        ("/public%2Fx", "sign-in", None, {"miss"}),
    ],
)
def test_results_are_those_of_the_reading_that_decides(
    explain: Callable[..., Result], path: str, decision: str, rule: int | None, results: set[str]
) -> None:
    found = json.loads(explain("GET", path, "--json").stdout)
    assert (found["decision"], found["rule"]) == (decision, rule)
    assert {each["result"] for each in found["rules"]} == results


def test_a_url_may_be_of_any_site(tmp_path: Path) -> None:
    site = '[sites.wiki]\nurl = "http://wiki.example.org"\n[[sites.wiki.rules]]\npath = "/x"\nallow = "anyone"\n'
    runner = make_gate(tmp_path, [{"path": "/x", "allow": {"groups": ["a"]}}], more=site).gateway.own.test_cli_runner()
    found = json.loads(runner.invoke(args=["explain", "GET", "http://WIKI.example.org/x", "--json"]).stdout)
    assert (found["decision"], found["site"], found["rule"], found["path"]) == ("allow", "wiki", 1, "/x")
    found = json.loads(runner.invoke(args=["explain", "GET", "http://127.0.0.1:5000/x", "--json"]).stdout)
    assert (found["decision"], found["site"], found["rule"]) == ("sign-in", "home", 1)
    foreign = runner.invoke(args=["explain", "GET", "http://wiki.example.org.evil.example/x"])
    assert (foreign.exit_code, "not a URL of a listed site" in foreign.output) == (1, True)


@pytest.mark.parametrize("arguments", [["GET"], ["GET", "page"], []])
def test_wrong_usage_is_status_2(explain: Callable[..., Result], arguments: list[str]) -> None:
    assert explain(*arguments).exit_code == 2


def test_the_keys_of_the_assertion_are_listed_and_rotated(gate: Gate) -> None:
    runner = gate.gateway.own.test_cli_runner()
    first = runner.invoke(args=["assertion-keys", "rotate"]).output.strip()
    second = runner.invoke(args=["assertion-keys", "rotate"]).output.strip()
    listed = json.loads(runner.invoke(args=["assertion-keys", "list", "--json"]).output)
    assert [(key["kid"], key["signs"]) for key in listed] == [(first, True), (second, False)]
