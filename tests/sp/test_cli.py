"""The command lines: what they print, and with which status they end."""

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import text

from tests.sp.conftest import MakeGateway
from tests.support.cast import ALICE, CAROL
from tests.support.fake_idp import fake_idp
from tests.support.gateway import URL, core_of
from tests.support.minting import mint

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
    assert "not used before" in done.stdout


def test_inspecting_spends_nothing_and_opens_nothing(app: Flask) -> None:
    token = mint(claims(), KEY)
    for _ in range(3):
        assert run(app, "inspect", token).exit_code == 0
    with core_of(app).engine.connect() as connection:
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
        core_of(app).providers.apply({"corporate": settings}, actor="test")
        args = ("check-idp", "--email", ALICE.email, "--password-stdin")
        done = run(app, *args, "--json", typed=f"{ALICE.password}\n")
        assert (done.exit_code, report(done)["grade"], report(done)["passed"]) == (0, "B", True)
        assert "grade: B" in run(app, *args, typed=f"{ALICE.password}\n").stdout
        idp.believes_anything = True
        bad = run(app, *args, typed=f"{ALICE.password}\n")
    assert bad.exit_code == 1
    assert "FAILED   wrong_password" in bad.stdout
    assert ALICE.password not in done.output + bad.output
    with core_of(app).engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM session")).scalar() == 0


def test_the_address_of_a_provider_that_is_not_the_default_one_has_its_name(app: Flask) -> None:
    with fake_idp(f"{URL}/sso/login/jwt", KEY[::-1]) as (idp, server):
        settings = {**PROVIDERS["resting"], "login_url": server.url}
        core_of(app).providers.apply({"resting": settings}, actor="test")
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


def test_the_first_administrator_is_made_by_command_line(app: Flask) -> None:
    done = run(app, "users", "create-admin", CAROL.email, "--password-stdin", typed=f"{CAROL.password}\n")
    assert done.exit_code == 0
    assert "/login?no_sso" in done.output
    assert CAROL.password not in done.output
    assert core_of(app).people.authenticate(CAROL.email, CAROL.password)


@pytest.mark.parametrize(("email", "password", "status"), [("nobody", "long enough", 2), (CAROL.email, "short", 1)])
def test_an_administrator_needs_an_address_and_a_password(email: str, password: str, status: int, app: Flask) -> None:
    assert run(app, "users", "create-admin", email, "--password-stdin", typed=password).exit_code == status


@pytest.mark.parametrize(
    "args", [["users", "disable", "x@example.com"], ["providers", "show", "x"], ["providers", "remove", "x"]]
)
def test_what_does_not_exist_is_status_1(args: list[str], app: Flask) -> None:
    assert run(app, *args).exit_code == 1
