"""`flask --app sp config plan`: who gains and who loses access, before a file is in force."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from click.testing import Result

from lab.cast import ALICE, BOB, CAROL
from lab.programs import ROOT, flask_command, private_environment
from tests.sp.gateway.gate import Gate, make_gate

IN_FORCE = """
[[rules]]
path = "/admin/"
allow = { groups = ["admins"] }
[[rules]]
path = "/open/"
methods = ["GET"]
allow = "anyone"
"""
ACCESS = ("user", "site", "method", "path")


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """A gateway with IN_FORCE in force; Alice is staff, Carol an administrator too, Bob's account is disabled."""
    made = make_gate(tmp_path, more=IN_FORCE)
    for person, active in ((ALICE, True), (CAROL, True), (BOB, False)):
        made.person(person, is_active=active)
    return made


@pytest.fixture
def plan(gate: Gate, tmp_path: Path) -> Callable[..., Result]:
    """Return the function that plans a file with this content."""

    def planned(content: str, *more: str) -> Result:
        file = tmp_path / "new.toml"
        file.write_text(content)
        done: Result = gate.gateway.own.test_cli_runner().invoke(args=["config", "plan", str(file), *more])
        return done

    return planned


def test_the_same_file_changes_nothing(plan: Callable[..., Result]) -> None:
    done = plan(IN_FORCE, "--json")
    nothing: dict[str, list[object]] = {"added": [], "removed": [], "changed": []}
    assert json.loads(done.stdout) == {"rules": nothing, "gains": [], "loses": []}
    assert done.exit_code == 0


def test_programs_read_who_gains_and_loses_where(plan: Callable[..., Result]) -> None:
    wiki = '[sites.wiki]\nurl = "http://wiki.example.org"\n[[sites.wiki.rules]]\npath = "/x"\nmethods = ["PUT"]\n'
    done = plan(IN_FORCE.replace('"admins"', '"staff"') + wiki + f'allow = {{ users = ["{ALICE.email}"] }}\n', "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [tuple(entry) for entry in found["gains"]] == [ACCESS] * 5
    assert [tuple(entry.values()) for entry in found["gains"]] == [
        (ALICE.email, "home", "GET", "/admin/"),
        (ALICE.email, "home", "POST", "/admin/"),
        (ALICE.email, "home", "GET", "/admin/page"),
        (ALICE.email, "home", "POST", "/admin/page"),
        (ALICE.email, "wiki", "PUT", "/x"),
    ]
    assert found["loses"] == []
    (changed,), (added,) = found["rules"]["changed"], found["rules"]["added"]
    assert (changed["site"], changed["number"], changed["path"]) == ("home", 1, "/admin/")
    assert (changed["before"], changed["after"]) == ("group admins", "group staff")
    assert (added["site"], added["number"], added["path"], added["methods"]) == ("wiki", 1, "/x", ["PUT"])


def test_status_1_if_somebody_loses_access(plan: Callable[..., Result]) -> None:
    done = plan(IN_FORCE.replace('groups = ["admins"]', f'users = ["{BOB.email}"]'), "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert {entry["user"] for entry in found["loses"]} == {CAROL.email}
    assert found["gains"] == [], "a disabled account is left out"


def test_people_read_how_many_and_who(plan: Callable[..., Result]) -> None:
    done = plan(IN_FORCE.replace('"admins"', '"staff", "others"').replace('"anyone"', '"signed-in"'))
    assert done.exit_code == 1, "visitors lose access"
    assert "Rules: added 0, removed 0, changed 2." in done.output
    assert "home rule 1, /admin/, every method: group admins -> group others, staff" in done.output
    assert "Accounts that gain access somewhere: 1. Accounts that lose access somewhere: 0." in done.output
    assert "Visitors who are not signed in lose access: home GET /open/page" in done.output
    assert f"gain  home POST /admin/page  1: {ALICE.email}" in done.output


def test_visitors_are_not_in_the_json_of_accounts_but_beside_it(plan: Callable[..., Result]) -> None:
    done = plan(IN_FORCE.replace('"anyone"', '"signed-in"'), "--json")
    assert json.loads(done.stdout)["loses"] == []
    assert "Visitors who are not signed in lose access: home GET /open/page" in done.stderr
    assert done.exit_code == 1


def test_a_faulty_file_is_a_finding(plan: Callable[..., Result]) -> None:
    done = plan('[[rules]]\npath = "/*"\nallow = "anyone"\n')
    assert (done.exit_code, "rules[1]: path" in done.output) == (1, True)


def test_the_changed_file_of_sp_config_is_compared_with_what_the_gateway_has_put_in_force(
    tmp_path: Path,
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(IN_FORCE)
    environ = {"SP_INSTANCE": str(tmp_path), "SP_SECRET_KEY": "k" * 48, "SP_CONFIG": str(file)}
    plan = partial(flask_command, "sp", "config", "plan", env=environ, folder=tmp_path, check=False)
    first = plan()
    assert "no gateway has put rules in force yet" in first.stderr
    gate = make_gate(tmp_path, SP_CONFIG=str(file), SP_SECRET_KEY="k" * 48)
    gate.person(CAROL)
    file.write_text(IN_FORCE.replace('"admins"', '"others"'))
    done = plan("--json")
    assert done.returncode == 1, done.stderr
    assert {entry["user"] for entry in json.loads(done.stdout)["loses"]} == {CAROL.email}
    again = plan("--json")
    assert again.stdout == done.stdout, "a command puts nothing in force"


def test_progress_is_shown_on_a_terminal_only(gate: Gate, tmp_path: Path, plan: Callable[..., Result]) -> None:
    assert "\r" not in plan(IN_FORCE).stderr
    file = tmp_path / "new.toml"
    env = {
        "SP_INSTANCE": str(tmp_path),
        "SP_SECRET_KEY": (tmp_path / "secret-key").read_text(),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "flask", "--app", "sp", "config", "plan", str(file)]
    ours, theirs = pty.openpty()
    subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, **private_environment(env)},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        timeout=60,
        check=False,
    )
    assert b"\raccounts: 0" in os.read(ours, 10_000)
