"""`flask --app sp explain`: which rule decides, and why."""

import json
from collections.abc import Callable

import pytest
from click.testing import Result

from lab.cast import ALICE, BOB, CAROL
from tests.sp.gateway.gate import Gate


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
        (["GET", "/public/x"], 0, ["let in", "rule 1: everything below /public/, GET, HEAD: anyone"]),
        (["POST", "/public/x"], 0, ["sign in", "no rule matches", "rule 1 has the path but not the method"]),
        (["GET", "/exact"], 0, ["let in", "rule 2: exactly /exact, every method: anyone"]),
        (["GET", "/page", "--user", ALICE.email], 0, ["let in", "no rule matches"]),
        (["GET", "/admin/x", "--user", ALICE.email], 1, ["forbid", "rule 3", "groups: staff"]),
        (["GET", "/admin/x", "--user", CAROL.email], 0, ["let in", "rule 3", "matches the rule"]),
        (["GET", "/admin", "--user", ALICE.email], 0, ["let in", "rule 3 is for /admin/, which is a different path"]),
        (["GET", "/%61dmin/x", "--user", ALICE.email], 1, ["forbid", "rule 3"]),
        (["GET", "/%2561dmin/x", "--user", ALICE.email], 1, ["an application may read the path as /admin/x"]),
        (
            ["GET", "/public%2Fx"],
            0,
            ["sign in", "an application may read the path as /public%2Fx", "the request has no signed-in person"],
        ),
        (["GET", "/%70ublic/x"], 0, ["sign in", "an application may read the path as /%70ublic/x"]),
        (["GET", "/public/caf%C3%A9"], 0, ["let in", "rule 1"]),
        (["GET", "/public/café/журнал"], 0, ["let in", "rule 1"]),
        (["GET", "/public/../x"], 1, ["ambiguous", "rejected before any rule"]),
        (["GET", "/public/%ff"], 1, ["ambiguous"]),
        (["GET", "/public/x?y=/../"], 0, ["let in", "rules ignore the query"]),
        (["GET", "/public/x?_method=DELETE"], 0, ["sign in", "the query names the method DELETE"]),
        (["GET", "/login"], 0, ["own path", "rules do not apply"]),
        (["get", "/public/x"], 0, ["let in"]),
        (["GET", "/page", "--user", "new@example.com"], 0, ["let in"]),
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
    assert (found["verdict"], found["rule"], found["refused"]) == ("let in", 3, False)
    assert found["user"] == CAROL.email


@pytest.mark.parametrize("arguments", [["GET"], ["GET", "page"], []])
def test_wrong_usage_is_status_2(explain: Callable[..., Result], arguments: list[str]) -> None:
    assert explain(*arguments).exit_code == 2


def test_the_keys_of_the_assertion_are_listed_and_rotated(gate: Gate) -> None:
    runner = gate.gateway.own.test_cli_runner()
    first = runner.invoke(args=["assertion-keys", "rotate"]).output.strip()
    second = runner.invoke(args=["assertion-keys", "rotate"]).output.strip()
    listed = json.loads(runner.invoke(args=["assertion-keys", "list", "--json"]).output)
    assert [(key["kid"], key["signs"]) for key in listed] == [(first, True), (second, False)]
