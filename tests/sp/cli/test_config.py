"""`flask --app sp config`: a file is checked, and its effect is shown, before it is in force."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result
from flask.cli import FlaskGroup

from lab.cast import ALICE, CAROL
from lab.programs import flask_command
from shared.settings import SettingsRefused
from tests.sp.gateway.gate import Gate, make_gate
from tests.support.gateway import make_gateway

RULES = """
[[rules]]
path = "/admin/"
allow = { groups = ["admins"] }
"""
DENIED = f"""
[[tests]]
request = "GET /admin/"
user = "{ALICE.email}"
expect = "deny"
"""
PROVIDER = """
[providers.corporate]
default = true
keys = ["0123456789012345678901234567890123456789"]
login_url = "https://login.example.org/"
"""
FAULTY = """
[[rules]]
path = "/*"
allow = "anyone"
[[tests]]
request = "GET /"
expect = "maybe"
[providers.corporate]
max_age = -1
[unknown]
"""


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """A gateway with RULES and two accounts."""
    made = make_gate(tmp_path, more=RULES)
    made.person(ALICE)
    made.person(CAROL)
    return made


@pytest.fixture
def check(gate: Gate, tmp_path: Path) -> Callable[[str], Result]:
    """Return the function that checks a file with this content."""

    def checked(content: str) -> Result:
        file = tmp_path / "new.toml"
        file.write_text(content)
        done: Result = gate.gateway.own.test_cli_runner().invoke(args=["config", "check", str(file)])
        return done

    return checked


def test_a_good_file_has_status_0(check: Callable[[str], Result]) -> None:
    done = check(RULES + DENIED + PROVIDER)
    assert done.exit_code == 0, done.output
    assert "is good: rules: 1, further sites: 0, tests: 1" in done.output


def test_everything_that_is_wrong_is_said_at_once(check: Callable[[str], Result]) -> None:
    done = check(FAULTY)
    assert done.exit_code == 1
    for place in ("rules[1]: path", "tests[1]: give exactly one", "tests[1]: expect", "providers.corporate.max_age"):
        assert place in done.output
    assert "unknown is unknown" in done.output


def test_a_test_that_fails_is_a_finding_beside_the_errors_of_providers(check: Callable[[str], Result]) -> None:
    done = check(RULES + DENIED.replace('"deny"', '"allow"') + PROVIDER + "max_age = -1\n")
    assert done.exit_code == 1
    assert f"tests[1]: GET /admin/ by {ALICE.email}: expected allow, but it is deny, by rule 1" in done.output
    assert "providers.corporate.max_age" in done.output


def test_a_test_that_cannot_be_decided_is_a_finding(check: Callable[[str], Result]) -> None:
    done = check(RULES + DENIED.replace(ALICE.email, "new@example.com"))
    assert done.exit_code == 1
    assert "cannot be decided: the account new@example.com does not exist" in done.output


def test_providers_are_checked_together_with_those_that_are_stored(
    gate: Gate, check: Callable[[str], Result]
) -> None:  # fmt: skip
    second = PROVIDER.replace("corporate", "second")
    done = check(PROVIDER + second)
    assert done.exit_code == 1
    assert "only one provider can be the default" in done.output
    assert check(PROVIDER).exit_code == 0
    assert gate.core.provider_store.load() == []


@pytest.mark.parametrize("content", ["[[rules]", "path = \x00", "\udcff"])
def test_a_file_that_is_not_toml_is_a_finding(gate: Gate, tmp_path: Path, content: str) -> None:
    file = tmp_path / "new.toml"
    file.write_bytes(content.encode(errors="surrogateescape"))
    done = gate.gateway.own.test_cli_runner().invoke(args=["config", "check", str(file)])
    assert done.exit_code == 1
    assert "is not valid TOML" in done.output


def test_an_unset_variable_is_a_finding(check: Callable[[str], Result]) -> None:
    done = check('[providers.corporate]\nkeys = ["env:NOT_SET_ANYWHERE"]\n')
    assert done.exit_code == 1
    assert "the environment variable NOT_SET_ANYWHERE is not set" in done.output


def test_an_application_that_needs_a_restart_is_a_note(check: Callable[[str], Result]) -> None:
    done = check('[sites.wiki]\nurl = "http://wiki.example.org"\napp = "wiki:app"\n')
    assert done.exit_code == 0, done.output
    assert "note: sites.wiki.app: restart the gateway to load wiki:app" in done.output


def test_without_a_file_anywhere_the_usage_is_wrong(tmp_path: Path) -> None:
    runner = make_gate(tmp_path).gateway.own.test_cli_runner()
    assert runner.invoke(args=["config", "check"]).exit_code == 2
    assert runner.invoke(args=["config", "check", str(tmp_path / "none.toml")]).exit_code == 2


def flask(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command as an operator does."""
    env = {"SP_INSTANCE": str(folder), "SP_SECRET_KEY": "k" * 48, **environ}
    return flask_command("sp", *arguments, env=env, folder=folder, check=False)


def test_the_commands_work_while_the_file_of_sp_config_is_faulty_and_apply_nothing(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(FAULTY)
    checked = flask(tmp_path, "config", "check", SP_CONFIG=str(file))
    assert (checked.returncode, checked.stderr.count("\n")) == (1, 5), checked.stderr
    refused = flask(tmp_path, "providers", "list", SP_CONFIG=str(file))
    assert (refused.returncode, "The settings have errors" in refused.stderr) == (2, True), refused.stderr
    file.write_text(RULES + DENIED + PROVIDER)
    undecided = flask(tmp_path, "config", "check", SP_CONFIG=str(file))
    assert (undecided.returncode, "cannot be decided" in undecided.stderr) == (1, True), undecided.stderr
    without = flask(tmp_path, "providers", "list")
    assert (without.returncode, "corporate" in without.stdout) == (0, False), without.stderr
    applied = flask(tmp_path, "providers", "list", SP_CONFIG=str(file))
    assert (applied.returncode, "corporate" in applied.stdout) == (0, True), applied.stderr


def command(folder: Path, *arguments: str) -> Result:
    """Run a command in this process, with the application that `flask --app sp` makes for it."""
    with click.Context(FlaskGroup()):
        app = make_gateway(folder, SP_CONFIG=str(folder / "rules.toml"))
    done = app.test_cli_runner().invoke(args=[*arguments])
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.parametrize("failing", ["", DENIED.replace('"deny"', '"allow"')])
def test_attack_no_command_puts_the_providers_of_a_rejected_or_half_written_file_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, failing: str
) -> None:
    """Commands run in cron jobs, while the gateway keeps what was in force."""
    gate = make_gate(tmp_path, more=RULES + PROVIDER)
    gate.person(ALICE)
    before = gate.core.provider_store.load()
    (tmp_path / "rules.toml").write_text(RULES + PROVIDER.replace("corporate", "mallory") + failing)
    command(tmp_path, "users", "list")
    assert gate.core.provider_store.load() == before
    assert "SP_CONFIG names providers that are not in force: mallory" in caplog.text


def test_before_the_first_start_a_command_applies_the_file_unless_its_tests_fail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, fails = tmp_path / "rules.toml", '[[tests]]\nrequest = "GET /admin/"\ngroups = []\nexpect = "allow"\n'
    file.write_text(RULES + PROVIDER)
    assert "corporate" in command(tmp_path, "providers", "list").stdout
    file.write_text(RULES + PROVIDER.replace("corporate", "mallory") + fails)
    assert "mallory" not in command(tmp_path, "providers", "list").stdout
    assert "the providers of SP_CONFIG are not applied" in caplog.text


def test_a_failing_test_refuses_the_start_and_an_undecided_one_does_not(tmp_path: Path) -> None:
    gate = make_gate(tmp_path, more=RULES + DENIED)
    assert "cannot be decided" in gate.core.reloader.state.undecided[0]
    gate.person(ALICE, groups=["admins"])
    with pytest.raises(SettingsRefused) as refused:
        make_gate(tmp_path, more=RULES + DENIED + DENIED.replace('"deny"', '"sign-in"'))
    assert [line.split(": ")[1] for line in refused.value.mistakes] == ["tests[1]", "tests[2]"]
    assert "expected deny, but it is allow, by rule 1 (everything below /admin/" in refused.value.mistakes[0]


def test_programs_get_json(gate: Gate, tmp_path: Path) -> None:
    file = tmp_path / "new.toml"
    ask = ["config", "check", str(file), "--json"]
    file.write_text(RULES + DENIED)
    done = gate.gateway.own.test_cli_runner().invoke(args=ask)
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert told.pop("notes") == ['the rule for "/admin/" does not cover "/admin" without the slash at the end']
    assert told == {"file": str(file), "mistakes": [], "rules": 1, "sites": 0, "tests": 1}
    file.write_text(FAULTY)
    done = gate.gateway.own.test_cli_runner().invoke(args=ask)
    assert done.exit_code == 1
    assert len(json.loads(done.stdout)["mistakes"]) > 3
