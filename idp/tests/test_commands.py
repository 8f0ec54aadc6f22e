"""The command line, as its help describes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import text

from idp.models import db
from idp.services_file import parse_services
from idp.tests.conftest import MakeApp
from idp.tests.support import ALICE, GATE, KEY, OTHER_KEY, Browser, Cast, register


def run(app: Flask, *args: str, typed: str = "") -> Result:
    return app.test_cli_runner().invoke(args=args, input=typed)


def test_a_person_who_is_added_can_sign_in(app: Flask) -> None:
    added = run(
        app, "users", "add", "carol@example.com", "--given-name", "Carol", "--group", "staff", "--group", "admins",
        "--attribute", "department=Gates", "--password-stdin", typed="keeper-of-keys\n",
    )  # fmt: skip
    assert added.exit_code == 0
    assert Browser(app).sign_in(Cast("carol@example.com", "keeper-of-keys")).status_code == 303
    listed = json.loads(run(app, "users", "list", "--json").stdout)
    carol = next(person for person in listed if person["email"] == "carol@example.com")
    assert carol["groups"] == ["staff", "admins"]
    assert carol["attributes"] == {"department": "Gates"}


@pytest.mark.parametrize(
    ("args", "typed", "status"),
    [
        (["users", "add", ALICE.email, "--password-stdin"], "long enough\n", 1),
        (["users", "add", "new@example.com", "--password-stdin"], "short\n", 1),
        (["users", "add", "new@example.com", "--password-stdin"], "", 1),
        (["users", "add", "no-address", "--password-stdin"], "long enough\n", 1),
        (["users", "add", "new@example.com", "--attribute", "x", "--password-stdin"], "long enough\n", 2),
        (["users", "add"], "", 2),
        (["users", "disable", "nobody@example.com"], "", 1),
        (["users", "set-password", "nobody@example.com", "--password-stdin"], "long enough\n", 1),
        (["services", "show", "nothing"], "", 1),
        (["services", "remove", "nothing"], "", 1),
        (["services", "apply", "no-such-file.toml"], "", 2),
        (["keys", "rotate", "nothing"], "", 1),
        (["keys", "rotate"], "", 2),
        (["users", "frobnicate"], "", 2),
    ],
)
def test_a_refusal_is_1_and_wrong_usage_is_2(app: Flask, args: list[str], typed: str, status: int) -> None:
    result = run(app, *args, typed=typed)
    assert result.exit_code == status, result.output
    assert result.output


def test_disabling_shuts_out_and_enabling_lets_in(app: Flask) -> None:
    browser = Browser(app)
    browser.sign_in()
    assert "sessions ended: 1" in run(app, "users", "disable", ALICE.email).output
    assert browser.get("/login-token/?service=gate").status_code == 200
    assert Browser(app).sign_in().status_code == 401
    run(app, "users", "enable", ALICE.email)
    assert Browser(app).sign_in().status_code == 303


def test_applying_a_file_twice_changes_nothing(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "services.toml"
    file.write_text('[services.learn]\npreset = "ispring"\nreturn_url = "https://learn.example/sso"\nkeys = []\n')
    first = run(app, "services", "apply", str(file))
    assert "A key was generated for learn" in first.output
    shown = run(app, "services", "show", "learn", "--json").output
    second = run(app, "services", "apply", str(file))
    assert "A key was generated" not in second.output
    assert run(app, "services", "show", "learn", "--json").output == shown


def test_a_file_with_mistakes_changes_nothing(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "services.toml"
    file.write_text('[services.a]\npreset = "ispring"\nreturn_url = "https://a.example/"\n[services.b]\npreset = "x"\n')
    result = run(app, "services", "apply", str(file))
    assert result.exit_code == 1
    assert "services.b.preset" in result.output
    assert run(app, "services", "show", "a").exit_code == 1


def test_services_are_listed_shown_and_removed_without_their_keys(app: Flask) -> None:
    listed = json.loads(run(app, "services", "list", "--json").stdout)
    assert [service["name"] for service in listed] == ["gate"]
    shown = run(app, "services", "show", "gate")
    assert "https://gate.example/sso/login/jwt" in shown.output
    assert KEY not in shown.output + str(listed)
    assert run(app, "services", "remove", "gate").exit_code == 0
    assert json.loads(run(app, "services", "list", "--json").stdout) == []


def test_what_idp_config_defines_is_changed_only_there(make_app: MakeApp, tmp_path: Path) -> None:
    app = make_app(services_file=tmp_path, **{"services": None})
    definitions = parse_services({"services": {"gate": GATE}}, "")
    with app.app_context():
        app.extensions["idp"].services.apply(definitions, managed=True)
    file = tmp_path / "services.toml"
    file.write_text('[services.gate]\npreset = "ispring"\nreturn_url = "https://evil.example/"\n')
    done = run(app, "services", "apply", str(file))
    assert done.exit_code == 1
    assert "Nothing was applied: IDP_CONFIG defines gate." in done.output
    assert run(app, "services", "remove", "gate").exit_code == 1


def test_applying_a_file_beside_idp_config_says_what_happens_at_the_next_start(
    make_app: MakeApp, tmp_path: Path
) -> None:
    file = tmp_path / "more.toml"
    file.write_text('[services.tower]\npreset = "ispring"\nreturn_url = "https://tower.example/"\n')
    definitions = parse_services({"services": {"gate": GATE}}, "")
    app = make_app(services_file=tmp_path / "services.toml", **{"services": None})
    with app.app_context():
        app.extensions["idp"].services.apply(definitions, managed=True)
    done = run(app, "services", "apply", str(file))
    assert done.exit_code == 0
    assert "Note: IDP_CONFIG is set." in done.output
    assert "remain after a restart" in done.output
    with app.app_context():
        app.extensions["idp"].services.apply(definitions, managed=True)  # as the next start does
        assert [service.name for service in app.extensions["idp"].services.all()] == ["gate", "tower"]


def test_applying_a_file_without_idp_config_has_no_note(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "more.toml"
    file.write_text('[services.tower]\npreset = "ispring"\nreturn_url = "https://tower.example/"\n')
    assert "IDP_CONFIG" not in run(app, "services", "apply", str(file)).output


def test_the_audit_tells_who_did_what(app: Flask) -> None:
    browser = Browser(app, "192.0.2.77")
    browser.sign_in(Cast(ALICE.email, "a wrong password"))
    browser.sign_in()
    entries = json.loads(run(app, "audit", "--email", ALICE.email, "--json").stdout)
    assert [entry["event"] for entry in entries] == ["token_issued", "signed_in", "sign_in_refused"]
    assert entries[0]["service"] == "gate"
    assert entries[0]["token_id"]
    assert {entry["address"] for entry in entries} == {"192.0.2.77"}


def test_the_audit_of_one_person_has_no_line_of_another(app: Flask) -> None:
    for typed in ("bob_smith@example.com", "bobXsmith@example.com", "BOB_SMITH@example.com"):
        Browser(app, "192.0.2.77").sign_in(Cast(typed, "a wrong password"))
    entries = json.loads(run(app, "audit", "--email", "Bob_Smith@example.com", "--json").stdout)
    assert {entry["email"].lower() for entry in entries} == {"bob_smith@example.com"}
    assert len(entries) == 2
    assert json.loads(run(app, "audit", "--email", "%", "--json").stdout) == []


def test_a_table_is_readable_without_json(app: Flask) -> None:
    lines = run(app, "users", "list").output.splitlines()
    assert lines[0].split() == ["email", "name", "groups", "state"]
    assert any("bob@example.com" in line and "disabled" in line for line in lines)


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        (
            'return_url = "http://learn.example/sso"',
            "learn: tokens are sent to http://learn.example without encryption",
        ),
        (f'return_url = "https://learn.example/sso"\nkeys = ["{KEY}"]', "learn and gate share a secret"),
        ('return_url = "https://a.example/"\nkeys = ["short"]\nallow_short_secret = true', "can be guessed"),
        ('return_url = "http://127.0.0.1:5000/sso"', None),
    ],
)
def test_what_is_allowed_and_should_not_last_is_warned_of(
    app: Flask, tmp_path: Path, changes: str, warning: str | None
) -> None:
    file = tmp_path / "services.toml"
    file.write_text(f'[services.learn]\npreset = "ispring"\n{changes}\n')
    result = run(app, "services", "apply", str(file))
    assert result.exit_code == 0
    assert (warning in result.stderr) if warning else (result.stderr == "")
    assert KEY not in result.output


def test_a_name_makes_no_row_and_commands_no_terminal(app: Flask) -> None:
    name = "Eve\nroot@example.com  Root\x1b[2J\x9b\u202e"  # our directory refuses this name; others may accept it
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("UPDATE people SET given_name = :name"), {"name": name})
    lines = run(app, "users", "list").stdout.split("\n")
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("root@example.com") for line in lines)
    assert any(r"Eve\nroot@example.com \x20Root\x1b[2J\x9b\u202e" in line for line in lines)


def test_it_is_told_which_services_a_person_gets_and_why_not(app: Flask) -> None:
    register(app, **{"gate": GATE, "staff-only": {**GATE, "groups": ["admins"], "keys": [OTHER_KEY]}})
    done = run(app, "people", "check", ALICE.email, "--json")
    told = {row["service"]: row for row in json.loads(done.stdout)["services"]}
    assert done.exit_code == 0
    assert told["gate"]["access"] is True
    assert told["gate"]["claims"]["email"] == ALICE.email
    assert told["staff-only"]["access"] is False
    assert told["staff-only"]["why"] == "is in none of the groups admins"
    assert "is in none of the groups admins" in run(app, "people", "check", ALICE.email).stdout


@pytest.mark.parametrize("email", ["nobody@example.com", "bob@example.com"])
def test_a_person_who_cannot_sign_in_is_a_finding(app: Flask, email: str) -> None:
    done = run(app, "people", "check", email)
    assert done.exit_code == 1
    assert "no such person, or the person is disabled" in done.stderr


HTTPS = "https://idp.example"


def healthy(make_app: MakeApp, furnished: Path, tmp_path: Path, **changes: Any) -> Flask:
    shutil.copyfile(furnished, tmp_path / "idp.sqlite3")
    (tmp_path / "idp.sqlite3").chmod(0o600)
    return make_app(**{"external_url": HTTPS, **changes})


def findings(app: Flask) -> list[tuple[str, str]]:
    done = run(app, "doctor", "--json")
    found = [(finding["check"], finding["finding"]) for finding in json.loads(done.stdout)["findings"]]
    assert done.exit_code == bool(found)
    return found


class Broken:
    """An integrator's own directory that has a bug."""

    def find(self, email: str) -> None:
        raise KeyError(email)

    def authenticate(self, email: str, password: str) -> None:
        raise KeyError(email)


def test_the_doctor_finds_nothing_wrong_with_a_good_installation(
    make_app: MakeApp, furnished: Path, tmp_path: Path
) -> None:
    app = healthy(make_app, furnished, tmp_path)
    assert findings(app) == []
    assert "FAILED" not in run(app, "doctor").stdout


@pytest.mark.parametrize(
    ("check", "changes", "words"),
    [
        ("people", {"people": Broken()}, "find() raised KeyError"),
        ("https", {"external_url": "http://login.example"}, "is not https"),
        ("secret_key", {"demo": True}, "this is a demo"),
    ],
)
def test_the_doctor_names_what_is_wrong(
    make_app: MakeApp, furnished: Path, tmp_path: Path, check: str, changes: dict[str, Any], words: str
) -> None:
    app = healthy(make_app, furnished, tmp_path, **changes)
    ((named, said),) = findings(app)
    assert (named, words in said) == (check, True)
    assert f"FAILED  {check}" in run(app, "doctor").stdout


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"return_url": "http://gate.example/sso"}, "use https"),
        ({"name": "other", "display_name": "a second service with the same key"}, "share a secret"),
    ],
)
def test_the_doctor_names_what_is_wrong_with_a_service(
    make_app: MakeApp, furnished: Path, tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    app = healthy(make_app, furnished, tmp_path)
    entry = dict(changes)
    register(app, **{entry.pop("name", "gate"): {**GATE, **entry}})
    ((named, said),) = findings(app)
    assert (named, words in said) == ("services", True)


def test_the_doctor_asks_for_a_service_where_there_is_none(make_app: MakeApp, furnished: Path, tmp_path: Path) -> None:
    app = healthy(make_app, furnished, tmp_path)
    run(app, "services", "remove", "gate")
    assert findings(app) == [("services", "no service is registered: flask --app idp services apply FILE.toml")]
