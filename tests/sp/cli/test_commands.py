"""The command lines: what they print, and with which status they end."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import text

from lab.cast import ALICE, CAROL
from lab.fake_idp import fake_idp
from lab.minting import mint
from shared import demo
from shared.settings import SettingsRefused
from sp.activity import audit
from tests.sp.conftest import MakeGateway
from tests.support.gateway import URL, core_of

KEY = "a secret of the cast, long enough for SHA-256"
PROVIDERS: dict[str, dict[str, Any]] = {
    "corporate": {"default": True, "keys": [KEY], "login_url": "http://127.0.0.1:1/", "deliveries": ["header"]},
    "resting": {"keys": [KEY[::-1]], "enabled": False, "token_parameter": "jwttoken"},
    "endpoint": {"algorithm": "ES256", "jwks_url": "http://127.0.0.1:1/keys"},
}


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    return gateway(PROVIDERS)


def run(app: Flask, *args: str, typed: str = "") -> Result:
    return app.test_cli_runner().invoke(args=args, input=typed)


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iat": now, "exp": now + 60, "jti": str(time.perf_counter_ns()), "email": ALICE.email, **more}


def report(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def codes(result: Result) -> set[str]:
    return {finding["code"] for finding in report(result)["findings"] if finding["outcome"] == "failed"}


# inspect


def test_a_good_token_passes_with_status_0(app: Flask) -> None:
    done = run(app, "inspect", mint(claims(), KEY))
    assert done.exit_code == 0, done.output
    assert "FAILED" not in done.stdout
    assert "is not spent" in done.stdout


def test_inspecting_spends_nothing_and_opens_nothing(app: Flask) -> None:
    token = mint(claims(), KEY)
    for _ in range(3):
        assert run(app, "inspect", token).exit_code == 0
    with core_of(app).database.engine.connect() as connection:
        counts = [
            connection.execute(text(f"SELECT count(*) FROM {table}")).scalar()  # noqa: S608
            for table in ("spent_token", "session", "account", "activity")
        ]
    assert counts == [0, 0, 0, 0]
    headers = {"Authorization": f"Bearer {token}"}
    assert app.test_client().get("/sso/login/jwt", headers=headers).status_code == 200


def test_a_token_that_was_used_is_told_from_one_that_was_not(app: Flask) -> None:
    token = mint(claims(), KEY)
    app.test_client().get("/sso/login/jwt", headers={"Authorization": f"Bearer {token}"})
    done = run(app, "inspect", token, "--json")
    assert (done.exit_code, codes(done)) == (1, {"token_replayed"})


@pytest.mark.parametrize(
    ("changes", "key", "expected"),
    [
        ({"exp": 1, "iat": 1}, KEY, {"token_expired", "token_too_old"}),
        ({}, KEY + "\n", {"signature_invalid"}),
        ({"iat": int(time.time()) * 1000}, KEY, {"claim_invalid"}),
        ({"email": "nobody"}, KEY, {"claim_invalid"}),
    ],
)
def test_a_bad_token_fails_with_status_1_and_says_what_to_do(
    changes: Mapping[str, Any], key: str, expected: set[str], app: Flask
) -> None:
    token = mint(claims(**changes), key)
    done = run(app, "inspect", token, "--json")
    assert (done.exit_code, codes(done)) == (1, expected)
    assert report(done)["passed"] is False
    assert all(f["remedy"] for f in report(done)["findings"] if f["outcome"] == "failed")
    for_people = run(app, "inspect", token)
    assert for_people.exit_code == 1
    assert all(f"[{code}]" in for_people.stdout for code in expected)
    assert "->" in for_people.stdout


def test_neither_the_token_nor_the_key_is_printed(app: Flask) -> None:
    token = mint(claims(), KEY + " ")
    printed = run(app, "inspect", token).output + run(app, "inspect", token, "--json").output
    assert token not in printed
    assert KEY not in printed


def test_claims_under_a_bad_signature_are_marked(app: Flask) -> None:
    assert "(unverified)" in run(app, "inspect", mint(claims(), KEY + " ")).stdout


def test_a_token_is_read_from_standard_input(app: Flask) -> None:
    assert run(app, "inspect", "-", typed=f"{mint(claims(), KEY)}\n").exit_code == 0


def test_a_whole_address_can_be_pasted(app: Flask) -> None:
    assert run(app, "inspect", f"{URL}/sso/login/jwt?jwt={mint(claims(), KEY)}&x=1").exit_code == 0


def test_another_provider_is_named_and_need_not_be_enabled(app: Flask) -> None:
    token = mint(claims(), KEY[::-1])
    assert run(app, "inspect", "--provider", "resting", token).exit_code == 0
    assert run(app, "inspect", "--provider", "RESTING", f"https://x/?jwttoken={token}").exit_code == 0
    assert run(app, "inspect", token).exit_code == 1


def test_an_old_token_can_be_judged_as_of_its_time(app: Flask) -> None:
    token = mint(claims(iat=1_700_000_000, exp=1_700_000_060), KEY)
    assert run(app, "inspect", token).exit_code == 1
    assert run(app, "inspect", "--at", "1700000010", token).exit_code == 0


def test_a_provider_that_does_not_exist_is_a_refusal(app: Flask) -> None:
    done = run(app, "inspect", "--provider", "nobody", "a.b.c")
    assert done.exit_code == 1
    assert "provider_unknown" in done.output


def test_keys_that_cannot_be_had_are_a_finding(app: Flask) -> None:
    done = run(app, "inspect", "--provider", "endpoint", mint(claims(), KEY, {"alg": "ES256"}), "--json")
    assert done.exit_code == 1
    assert "key_unavailable" in codes(done)
    assert "cannot be fetched" in done.stderr


def test_a_replay_store_that_does_not_answer_is_a_finding(gateway: MakeGateway) -> None:
    app = gateway(PROVIDERS, SP_REPLAY_URL="redis://127.0.0.1:1/0")
    done = run(app, "inspect", mint(claims(), KEY), "--json")
    assert (done.exit_code, codes(done)) == (1, {"store_unavailable"})


@pytest.mark.parametrize("args", [["inspect"], ["inspect", "--at", "yesterday", "a.b.c"], ["inspect", "a", "b"]])
def test_wrong_usage_is_status_2(args: list[str], app: Flask) -> None:
    assert run(app, *args).exit_code == 2


# check-idp


def test_check_idp_grades_and_ends_with_0_or_1(app: Flask) -> None:
    with fake_idp(f"{URL}/sso/login/jwt", KEY) as (idp, server):
        settings = {**PROVIDERS["corporate"], "login_url": server.url, "deliveries": ["query", "form"]}
        core_of(app).provider_store.apply({"corporate": settings}, actor="test")
        args = ("check-idp", "--email", ALICE.email, "--password-stdin")
        done = run(app, *args, "--json", typed=f"{ALICE.password}\n")
        assert (done.exit_code, report(done)["grade"], report(done)["passed"]) == (0, "B", True)
        assert "grade: B" in run(app, *args, typed=f"{ALICE.password}\n").stdout
        idp.believes_anything = True
        bad = run(app, *args, typed=f"{ALICE.password}\n")
    assert bad.exit_code == 1
    assert "FAILED   wrong_password" in bad.stdout
    assert ALICE.password not in done.output + bad.output
    with core_of(app).database.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM session")).scalar() == 0


def test_check_idp_expects_tokens_at_the_address_where_the_demo_really_runs(gateway: MakeGateway) -> None:
    app = gateway(SP_SECRET_KEY="", SP_EXTERNAL_URL="")
    demo.announce(core_of(app).config.instance, sp_url="http://127.0.0.1:5777")
    with fake_idp("http://127.0.0.1:5777/sso/login/jwt/corporate", KEY) as (_idp, server):
        settings = {
            **PROVIDERS["corporate"],
            "default": False,
            "login_url": server.url,
            "deliveries": ["query", "form"],
        }
        core_of(app).provider_store.apply({"corporate": settings}, actor="test")
        args = ("check-idp", "--provider", "corporate", "--email", ALICE.email, "--password-stdin", "--json")
        done = run(app, *args, typed=f"{ALICE.password}\n")
    assert (done.exit_code, report(done)["passed"]) == (0, True), done.output


def test_the_address_of_a_provider_that_is_not_the_default_one_has_its_name(app: Flask) -> None:
    with fake_idp(f"{URL}/sso/login/jwt", KEY[::-1]) as (idp, server):
        settings = {**PROVIDERS["resting"], "login_url": server.url}
        core_of(app).provider_store.apply({"resting": settings}, actor="test")
        idp.parameter = "jwttoken"
        args = ("check-idp", "--provider", "resting", "--email", ALICE.email, "--password-stdin", "--json")
        wrong = run(app, *args, typed=f"{ALICE.password}\n")
        idp.return_url += "/resting"
        right = run(app, *args, typed=f"{ALICE.password}\n")
    assert (wrong.exit_code, right.exit_code) == (1, 0)


@pytest.mark.parametrize("args", [["check-idp"], ["check-idp", "--email", "a@b.example"]])
def test_check_idp_without_email_or_password_is_wrong_usage(args: list[str], app: Flask) -> None:
    assert run(app, *args).exit_code == 2


# providers and users


def test_no_command_prints_a_key(app: Flask) -> None:
    for args in (["list"], ["list", "--json"], ["show", "corporate"], ["show", "corporate", "--json"]):
        done = run(app, "providers", *args)
        assert done.exit_code == 0
        assert KEY not in done.output


GOOD_FILE = f"""
[providers.fresh]
keys = ["{KEY[5:] * 2}"]
login_url = "http://127.0.0.1:1/"
require_nonce = true
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "providers.toml"
    made.write_text(GOOD_FILE)
    return made


def test_a_file_is_applied_and_twice_changes_nothing(app: Flask, file: Path) -> None:
    first, second = (run(app, "providers", "apply", str(file)) for _ in range(2))
    assert (first.exit_code, first.stdout, first.stderr) == (0, "fresh: created\n", "")
    assert (second.exit_code, second.stdout) == (0, "fresh: unchanged\n")


def test_a_table_that_nobody_knows_is_refused_as_sp_config_refuses_it(
    app: Flask, file: Path, gateway: MakeGateway
) -> None:
    file.write_text(GOOD_FILE + "max_age = -1\n[provider.typo]\nmax_age = 60\n[another]\n")
    done = run(app, "providers", "apply", str(file))
    assert done.exit_code == 1
    lines = done.stderr.splitlines()
    assert lines == [
        f"{file}: another is unknown: the file may contain [[rules]], [providers.*], [sites.*] and [[tests]]",
        f"{file}: provider is unknown: the file may contain [[rules]], [providers.*], [sites.*] and [[tests]]",
        f"{file}: providers.fresh.max_age: must be a whole number of seconds, 1 to {86400 * 366}",
    ]
    with pytest.raises(SettingsRefused) as refused:
        gateway(SP_CONFIG=str(file))
    assert refused.value.mistakes == lines
    assert run(app, "providers", "show", "fresh").exit_code == 1


def test_applying_a_file_beside_sp_config_says_what_happens_at_the_next_start(
    gateway: MakeGateway, file: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.toml"
    own.write_text(f'[providers.corporate]\nkeys = ["{KEY}"]\n')
    done = run(gateway(SP_CONFIG=str(own)), "providers", "apply", str(file))
    assert done.exit_code == 0
    assert done.stderr.startswith("note: SP_CONFIG is set.")
    assert "stay after a restart" in done.stderr
    kept = core_of(gateway(SP_CONFIG=str(own))).provider_store.load()
    assert [item.provider.name for item in kept] == ["corporate", "fresh"]


@pytest.mark.parametrize(
    ("keys", "why"), [('["short"]', "the secret has 5 bytes"), ("[7]", "must be a list of strings")]
)
def test_a_key_that_is_refused_is_named_together_with_the_settings(app: Flask, file: Path, keys: str, why: str) -> None:
    file.write_text(f"[providers.fresh]\nkeys = {keys}\nmax_age = -1\n")
    done = run(app, "providers", "apply", str(file))
    assert done.exit_code == 1
    age, key = done.stderr.splitlines()
    assert "providers.fresh.max_age: must be a whole number" in age
    assert f"providers.fresh.keys: {why}" in key


@pytest.mark.parametrize("content", ["providers = 3", "[[providers]]\nname = 'x'", "[providers]\nx = 3"])
def test_providers_that_are_no_tables_are_refused(app: Flask, file: Path, content: str) -> None:
    file.write_text(content)
    done = run(app, "providers", "apply", str(file))
    assert done.exit_code == 1
    assert "table" in done.stderr


def test_rules_in_an_applied_file_are_said_to_be_read_from_sp_config_only(app: Flask, file: Path) -> None:
    file.write_text(GOOD_FILE + '[[rules]]\npath = "/x"\nallow = "anyone"\n')
    done = run(app, "providers", "apply", str(file))
    assert (done.exit_code, done.stdout) == (0, "fresh: created\n")
    assert done.stderr == f"note: the [[rules]] in {file} are ignored: rules are read from SP_CONFIG only\n"


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_risks_are_said_when_a_provider_is_applied_and_shown(app: Flask, file: Path, more: list[str]) -> None:
    file.write_text(GOOD_FILE + 'deliveries = ["header"]\nexpiry_adjustment = -3600\nupdate_email = true\n')
    for args in (["apply", str(file)], ["apply", str(file)], ["show", "fresh"]):
        done = run(app, "providers", *args, *more)
        assert done.exit_code == 0
        warnings = done.stderr.splitlines()
        assert all(line.startswith("warning: fresh: ") for line in warnings)
        assert len(warnings) == 3
        assert not more or json.loads(done.stdout)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('email_domains = ["*.example.com"]', "must be a domain without a wildcard"),
        ('email_domains = ["not a domain/"]', "is not a domain"),
        ('required_claims = ["iat", "has space"]', "no white space"),
        ('token_parameter = "return_to"', "is a reserved query parameter"),
        ('mapping = { id = "jti" }', "describes the token"),
        ('error_url = "/sso/start/fresh"', "is a URL of the gateway itself"),
    ],
)
def test_a_setting_that_would_refuse_everybody_is_refused_itself(
    app: Flask, file: Path, setting: str, words: str
) -> None:
    file.write_text(GOOD_FILE + setting)
    done = run(app, "providers", "apply", str(file))
    assert done.exit_code == 1
    assert words in done.stderr


@pytest.mark.parametrize("args", [["remove", "FRESH"], ["apply", "{file}"]])
def test_a_provider_of_the_operators_file_is_changed_there_only(
    gateway: MakeGateway, file: Path, args: list[str]
) -> None:
    app = gateway(SP_CONFIG=str(file))
    before = core_of(app).provider_store.load()
    done = run(app, "providers", *(arg.format(file=file) for arg in args))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("fresh: is managed by the file that SP_CONFIG names: change it there.")
    assert core_of(app).provider_store.load() == before


def test_the_first_administrator_is_made_by_command_line(app: Flask) -> None:
    done = run(app, "users", "create-admin", CAROL.email, "--password-stdin", typed=f"{CAROL.password}\n")
    assert done.exit_code == 0
    assert "/login?no_sso" in done.output
    assert CAROL.password not in done.output
    assert core_of(app).people.authenticate(CAROL.email, CAROL.password)


def create_admin(app: Flask, email: str, *options: str) -> Result:
    return run(app, "users", "create-admin", email, "--password-stdin", *options, typed=f"{CAROL.password}\n")


def sign_in(app: Flask, email: str) -> int:
    """Sign a person in with a token of the provider; return the status."""
    headers = {"Authorization": f"Bearer {mint(claims(email=email), KEY)}"}
    return app.test_client().get("/sso/login/jwt", headers=headers).status_code


def flags(app: Flask, email: str) -> tuple[bool, bool] | None:
    """Return whether an account is active and an administrator's."""
    person = core_of(app).people.find(email)
    return (person.is_active, person.is_admin) if person else None


def test_attack_a_provider_that_controls_an_account_becomes_an_administrator_with_it(app: Flask) -> None:
    assert sign_in(app, ALICE.email) == 200
    done = create_admin(app, ALICE.email)
    assert done.exit_code == 1
    assert f"{ALICE.email} at corporate" in done.stderr
    assert "--keep-identities" in done.stderr
    assert flags(app, ALICE.email) == (True, False)
    assert core_of(app).people.authenticate(ALICE.email, CAROL.password) is None
    assert audit.recent(core_of(app).database, subject=ALICE.email) == []


def test_whoever_trusts_the_providers_keeps_the_ids_and_is_told_which(app: Flask) -> None:
    sign_in(app, ALICE.email)
    done = create_admin(app, ALICE.email.upper(), "--keep-identities")
    assert done.exit_code == 0
    assert f"{ALICE.email} at corporate" in done.stderr
    assert f"{ALICE.email} is an administrator." in done.stdout
    assert flags(app, ALICE.email) == (True, True)
    (line,) = audit.recent(core_of(app).database, subject=ALICE.email)
    assert line.detail == {"administrator": [False, True], "ids kept": [None, [f"corporate: {ALICE.email}"]]}


def test_an_administrator_without_ids_gets_a_new_password_with_no_further_words(app: Flask) -> None:
    for _ in range(2):
        done = create_admin(app, CAROL.email)
        assert (done.exit_code, done.stderr) == (0, "")


def test_an_account_that_was_disabled_is_enabled_and_that_is_said(app: Flask) -> None:
    create_admin(app, CAROL.email)
    run(app, "users", "disable", CAROL.email)
    done = create_admin(app, CAROL.email)
    assert done.exit_code == 0
    assert "was disabled and is now enabled" in done.stderr
    assert "SP_SEAT_LIMIT" not in done.stderr
    assert flags(app, CAROL.email) == (True, True)
    line = audit.recent(core_of(app).database, subject=CAROL.email)[0]
    assert line.detail == {"active": [False, True]}


def test_an_administrator_is_made_beyond_the_seat_limit_and_that_is_said(gateway: MakeGateway) -> None:
    app = gateway(PROVIDERS, SP_SEAT_LIMIT="1")
    first = create_admin(app, CAROL.email)
    assert (first.exit_code, first.stderr) == (0, "")
    for _ in range(2):
        done = create_admin(app, "dave@example.com")
        assert done.exit_code == 0
        assert "There are now more active accounts than the 1 seats of SP_SEAT_LIMIT" in done.stderr
        run(app, "users", "disable", "dave@example.com")  # the next one enables it, beyond the limit
    again = create_admin(app, CAROL.email)
    assert (again.exit_code, again.stderr) == (0, "")


@pytest.mark.parametrize(("email", "password", "status"), [("nobody", "long enough", 2), (CAROL.email, "short", 1)])
def test_an_administrator_needs_an_address_and_a_password(email: str, password: str, status: int, app: Flask) -> None:
    assert run(app, "users", "create-admin", email, "--password-stdin", typed=password).exit_code == status


@pytest.mark.parametrize(
    "args", [["users", "disable", "x@example.com"], ["providers", "show", "x"], ["providers", "remove", "x"]]
)
def test_what_does_not_exist_is_status_1(args: list[str], app: Flask) -> None:
    assert run(app, *args).exit_code == 1


NASTY = "Bob\n0  root@example.org  active\x1b[2J\x9b\u202e"


def test_a_name_from_a_claim_makes_no_row_and_commands_no_terminal(app: Flask) -> None:
    core = core_of(app)
    person = core.people.create_administrator(
        "bob@example.org", "a-long-password-of-bobs", keep_identities=False
    ).person
    with core.database.engine.begin() as connection:
        connection.execute(text("UPDATE account SET given_name = :name"), {"name": NASTY})
    (_header, line) = run(app, "users", "list").stdout.splitlines()
    assert line.isprintable()
    assert line.startswith(r"bob@example.org  Bob\n0 \x20root@example.org \x20active\x1b[2J\x9b\u202e")
    (row,) = json.loads(run(app, "users", "list", "--json").stdout)
    assert row["name"].strip() == NASTY
    assert person.email == row["email"]


def test_a_claim_of_a_token_that_is_inspected_commands_no_terminal(app: Flask) -> None:
    done = run(app, "inspect", mint(claims(email=f"bob@example.org{NASTY}", iss=NASTY), KEY))
    assert all(line.isprintable() for line in done.stdout.split("\n"))


# activity


def refused(app: Flask, **changed: Any) -> str:
    """Send a faulty token, and return the reference that the person saw."""
    headers = {"Authorization": f"Bearer {mint(claims(**changed), KEY)}"}
    answer = app.test_client().get("/sso/login/jwt", headers=headers)
    return str((answer.json or {})["reference"])


def test_the_first_line_of_what_was_recorded_is_its_cause(app: Flask) -> None:
    reference = refused(app, iat=int(time.time() * 1000))
    done = run(app, "activity", "show", f" {reference.lower()} ")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("iat is in milliseconds; it must be in seconds: send ")
    assert f"reference  {reference}" in done.stdout
    assert "FAILED   claim_types: iat is too large" in done.stdout
    told = json.loads(run(app, "activity", "show", reference, "--json").stdout)
    assert (told["reference"], told["code"], told["delivery"]) == (reference, "claim_invalid", "header")
    assert done.stdout.splitlines()[0] == told["cause"]


def test_a_reference_that_does_not_exist_ends_with_status_1(app: Flask) -> None:
    done = run(app, "activity", "show", "NOSUCH")
    assert done.exit_code == 1
    assert "no log entry with the reference NOSUCH" in done.stderr


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ((), 3),
        (("--code", "token_expired"), 2),
        (("--code", "token_replayed"), 0),
        (("--email", ALICE.email.upper()), 1),
        (("--provider", "Corporate"), 3),
        (("--provider", "resting"), 0),
        (("--since", "1h"), 3),
        (("--since", "2099-01-01"), 0),
        (("--limit", "2"), 2),
    ],
)
def test_attempts_are_listed_by_what_they_have(app: Flask, options: tuple[str, ...], count: int) -> None:
    for _ in range(2):
        refused(app, exp=1, iat=1)
    good = app.test_client().get("/sso/login/jwt", headers={"Authorization": f"Bearer {mint(claims(), KEY)}"})
    assert good.status_code == 200
    assert len(json.loads(run(app, "activity", "list", "--json", *options).stdout)) == count
    assert len(run(app, "activity", "list", *options).stdout.splitlines()) == 1 + count


def test_a_time_that_cannot_be_read_is_wrong_usage(app: Flask) -> None:
    done = run(app, "activity", "list", "--since", "yesterday")
    assert done.exit_code == 2
    assert "30m, 24h or 7d" in done.stderr


def test_an_export_is_one_object_to_a_line_the_oldest_first(app: Flask) -> None:
    references = [refused(app, exp=1, iat=1) for _ in range(3)]
    lines = run(app, "activity", "export", "--since", "1h").stdout.splitlines()
    assert [json.loads(line)["reference"] for line in lines] == references
