"""`lab token`: what it prints, and what it says about errors."""

import json

import jwt
import pytest

from lab.__main__ import main
from lab.faults import FAULTS

KEY = "a secret of the tests, long enough for SHA-256"


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["token", *arguments]) == 0
    return capsys.readouterr().out.rstrip("\n")


def test_a_good_token_verifies_in_an_independent_library(capsys: pytest.CaptureFixture[str]) -> None:
    claims = jwt.decode(printed(capsys, "--key", KEY), KEY, algorithms=["HS256"])
    assert claims["email"] == "alice@example.org"
    assert claims["exp"] - claims["iat"] == 60
    assert claims["jti"]


def test_claims_are_set_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--claim", 'groups=["staff"]', "--claim", "level=5", "--claim", "team=red", "--without", "sub"]
    claims = jwt.decode(printed(capsys, "--key", KEY, *options), KEY, algorithms=["HS256"])
    assert (claims["groups"], claims["level"], claims["team"]) == (["staff"], 5, "red")
    assert "sub" not in claims


def test_the_algorithm_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    token = printed(capsys, "--key", KEY, "--alg", "HS512")
    assert jwt.get_unverified_header(token)["alg"] == "HS512"


def test_a_fault_is_minted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(jwt.ExpiredSignatureError):
        jwt.decode(printed(capsys, "--key", KEY, "--fault", "expired"), KEY, algorithms=["HS256"])


def test_a_fault_of_a_second_use_prints_both_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = printed(capsys, "--key", KEY, "--fault", "jti-reused").split("\n")
    assert first != second
    assert jwt.decode(first, KEY, algorithms=["HS256"])["jti"] == jwt.decode(second, KEY, algorithms=["HS256"])["jti"]


def test_the_faults_are_listed_with_level_and_rule(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "--list-faults").split("\n")
    for fault in FAULTS.values():
        line = next(line for line in lines if line.split()[:1] == [fault.name])
        assert fault.level in line
        assert fault.what in line
        assert fault.rule in line


def test_the_list_is_there_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(printed(capsys, "--list-faults", "--json"))
    assert [each["name"] for each in listed] == list(FAULTS)
    assert set(listed[0]) == {"name", "level", "what", "rule"}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "--key is needed"),
        (["--key", KEY, "--fault", "no-such"], "unknown fault"),
        (["--key", KEY, "--fault", "alg-confusion"], "needs a private key"),
        (["--key", KEY, "--claim", "nothing"], "NAME=VALUE"),
        (["--key", KEY, "--alg", "none"], "unknown algorithm"),
        (["--key", "file:/not/there"], "cannot be read"),
    ],
)
def test_wrong_usage_ends_with_status_2(arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", *arguments]) == 2
    shown = capsys.readouterr()
    assert why in shown.err
    assert KEY not in shown.err
    assert shown.out == ""
