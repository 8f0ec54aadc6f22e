"""check-idp signs in at a provider as a person would, reports every bad practice, and changes nothing here."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab.cast import ALICE
from lab.fake_idp import FakeIdp, fake_idp
from lab.pair import Pair
from lab.scripted_server import ScriptedServer, answer
from shared.keys import load_key_set
from sp.diagnosis.conformance import check_idp, grade
from sp.diagnosis.inspector import Finding
from sp.diagnosis.journey import Credentials
from sp.providers.provider import Provider
from sp.providers.settings_parser import parse_provider

GATE = "http://127.0.0.1:9"  # a closed port: no request may reach the gateway
PATHS = ("/sso/login/jwt", "/access/jwt")
KEY = "a secret of the cast, long enough for SHA-256"
KEYS = load_key_set([KEY], "HS256")
TYPED = Credentials(ALICE.email, ALICE.password)

Running = tuple[FakeIdp, ScriptedServer]


@pytest.fixture
def running() -> Iterator[Running]:
    with fake_idp(f"{GATE}/sso/login/jwt", KEY) as both:
        yield both


def provider(server: ScriptedServer, **more: Any) -> Provider:
    settings = {"login_url": server.url, "deliveries": ["query", "form"], "algorithm": "HS256", **more}
    return parse_provider("corporate", settings)


def check(running: Running, typed: Credentials = TYPED, **settings: Any) -> dict[str, Finding]:
    found = check_idp(provider(running[1], **settings), KEYS, typed, GATE, PATHS)
    return {finding.check: finding for finding in found}


def outcomes(found: dict[str, Finding], outcome: str) -> set[str]:
    return {name for name, finding in found.items() if finding.outcome == outcome}


def test_a_provider_without_bad_habits_gets_an_a(running: Running) -> None:
    idp, _server = running
    idp.posts_the_token = True
    found = check(running, preset="strict", required_claims=["iat", "exp", "jti"], mapping={"id": "email"})
    found = {name: f for name, f in found.items() if name not in ("token_issuer", "token_audience")}
    assert outcomes(found, "failed") | outcomes(found, "advice") == set()
    assert grade(list(found.values())) == "A"


def test_nothing_of_it_reaches_the_gateway_and_the_password_is_sent_twice(running: Running) -> None:
    idp, _server = running
    check(running)
    tries = [(form["email"] == ALICE.email, form["password"] == ALICE.password) for form in idp.posted]
    wrong, unknown, other_site, right = (True, False), (False, False), (True, True), (True, True)
    assert tries[:2] == [wrong, unknown]
    assert set(tries[2:-2]) <= {wrong, unknown}  # more visits, to time them, if the machine is slow
    assert tries[-2:] == [other_site, right]
    assert all(
        form["once"] == "1" and form["go"] == "1" for form in idp.posted
    )  # hidden fields and the button go along


def test_no_finding_tells_the_password_or_a_token(running: Running) -> None:
    told = repr(check(running))
    assert ALICE.password not in told
    assert "eyJ" not in told


def habit(**changes: Any) -> Callable[[FakeIdp], None]:
    def take_on(idp: FakeIdp) -> None:
        for name, value in changes.items():
            assert hasattr(idp, name)
            setattr(idp, name, value)

    return take_on


def claims(**more: Any) -> Callable[[FakeIdp], None]:
    """Change claims; a value of ... leaves one out."""
    return habit(claims=lambda old: {n: v for n, v in {**old, **more}.items() if v is not ...})


FAILURES = [
    (habit(believes_anything=True), "wrong_password"),
    (habit(return_url="http://127.0.0.1:9/"), "target"),
    (habit(return_url="http://127.0.0.1:10/sso/login/jwt"), "target"),
    (habit(follows_return_to=True), "foreign_return"),
    (habit(sends_one_token_only=True), "fresh_tokens"),
    (habit(key="another secret, of another house entirely"), "token_signature"),
    (claims(jti="always-the-same-token-id"), "fresh_tokens"),
    (claims(email="mallory@example.com"), "person"),
    (claims(nonce="somebody else's"), "nonce"),
    (claims(exp=1), "token_expiry"),
    (claims(exp=...), "token_required"),
    (claims(iat="today"), "token_claim_types"),
    (claims(email="nobody"), "token_profile"),
]


@pytest.mark.parametrize(("take_on", "failure"), FAILURES)
def test_a_bad_habit_fails(take_on: Callable[[FakeIdp], None], failure: str, running: Running) -> None:
    take_on(running[0])
    found = check(running)
    assert failure in outcomes(found, "failed")
    assert grade(list(found.values())) == "F"


ADVICE = [
    (habit(headers={}), "no_store"),
    (habit(headers={"Cache-Control": "no-store"}), "no_referrer"),
    (habit(), "address"),
    (habit(echoes_return_to=False), "return_to"),
    (habit(remembers_nobody=True), "second_visit"),
    (claims(nonce=...), "nonce"),
    (habit(form_headers={}), "framing"),
    (habit(cookie="Path=/"), "cookie_http_only"),
    (habit(believes_other_sites=True), "form_csrf"),
]


@pytest.mark.parametrize(("take_on", "advice"), ADVICE)
def test_what_could_be_better_is_advice(take_on: Callable[[FakeIdp], None], advice: str, running: Running) -> None:
    take_on(running[0])
    found = check(running)
    assert advice in outcomes(found, "advice")
    assert outcomes(found, "failed") == set()
    assert grade(list(found.values())) == "B"


def test_what_the_published_authentication_php_sends_passes_with_advice(running: Running) -> None:
    """It echoes no parameter, sends no security headers, and must work unchanged."""
    idp, _server = running
    idp.headers, idp.echoes_return_to, idp.redirects_with = {}, False, 302
    claims(nonce=...)(idp)
    found = check(running, preset="ispring")
    assert outcomes(found, "failed") == set()
    assert {"nonce", "return_to", "no_store"} <= outcomes(found, "advice")


def test_a_missing_nonce_fails_where_the_settings_require_one(running: Running) -> None:
    claims(nonce=...)(running[0])
    assert "nonce" in outcomes(check(running, require_nonce=True), "failed")


def test_numbers_that_follow_one_another_are_no_token_ids(running: Running) -> None:
    idp, _server = running
    idp.claims = lambda old: {**old, "jti": f"{10**18 + next(idp.numbers)}"}
    assert "token_ids" in outcomes(check(running), "advice")


def test_short_token_ids_are_no_good_either(running: Running) -> None:
    idp, _server = running
    idp.claims = lambda old: {**old, "jti": old["jti"][:6]}
    assert "token_ids" in outcomes(check(running), "advice")


def test_a_long_life_is_advised_against(running: Running) -> None:
    idp, _server = running
    idp.claims = lambda old: {**old, "exp": old["iat"] + 3600}
    found = check(running)
    assert "lifetime" in outcomes(found, "advice")
    assert "3600" in found["lifetime"].explanation


@pytest.mark.parametrize(("off", "word"), [(20, "ahead"), (-20, "behind")])
def test_a_clock_that_goes_wrong_is_noticed_before_it_hurts(off: int, word: str, running: Running) -> None:
    idp, _server = running
    idp.claims = lambda old: {**old, "iat": old["iat"] + off, "exp": old["exp"] + off}
    found = check(running)
    assert found["clock"].outcome == "advice"
    assert word in found["clock"].explanation
    assert outcomes(found, "failed") == set()


def test_the_nonce_of_the_first_visit_is_not_taken_for_that_of_the_next(running: Running) -> None:
    idp, _server = running
    first: list[str] = []

    def keep_first(old: dict[str, Any]) -> dict[str, Any]:
        first.append(old["nonce"])
        return {**old, "nonce": first[0]}

    idp.claims = keep_first
    found = check(running)
    assert found["nonce"].outcome == "passed"
    assert found["fresh_nonce"].outcome == "failed"


def test_a_delivery_that_is_not_allowed_fails(running: Running) -> None:
    assert check(running, deliveries=["form"])["delivery"].code == "delivery_not_allowed"


def test_a_token_that_is_posted_is_found_in_the_form(running: Running) -> None:
    idp, _server = running
    idp.posts_the_token = True
    found = check(running)
    assert "form" in found["delivery"].explanation
    assert found["return_to"].outcome == "passed"


def test_another_token_parameter_is_looked_for(running: Running) -> None:
    running[0].parameter = "jwttoken"
    assert check(running, token_parameter="jwttoken")["sign_in"].outcome == "passed"
    assert check(running)["sign_in"].outcome == "failed"


@pytest.mark.parametrize(
    "inputs",
    [
        '<input name="user_login"><input type="password" name="password">',
        '<input name="search" type="search"><input name="field1" type="text"><input type="password" name="password">',
        '<input type="checkbox" name="stay"><input type="email" name="email"><input type="password" name="password">',
    ],
)
def test_forms_of_many_makes_are_filled_in(inputs: str, running: Running) -> None:
    running[0].inputs = inputs
    assert check(running)["sign_in"].outcome == "passed"
    assert "stay" not in running[0].posted[-1]


def test_a_name_that_is_asked_for_first_is_typed_first(running: Running) -> None:
    running[0].asks_the_name_first = True
    assert check(running)["sign_in"].outcome == "passed"


def test_redirects_before_the_form_are_followed(running: Running) -> None:
    running[0].before = ("/hop", "/hop2", "/form")
    assert check(running)["sign_in"].outcome == "passed"


def test_attack_a_redirect_that_sends_the_password_on_fails(running: Running) -> None:
    running[0].redirects_with = 307
    found = check(running)
    assert found["redirects"].outcome == "failed"
    assert GATE in found["redirects"].explanation


def test_a_wrong_password_of_the_operator_is_told_as_such(running: Running) -> None:
    found = check(running, Credentials(ALICE.email, "mistyped"))
    assert found["sign_in"].outcome == "failed"
    assert "rejected" in found["sign_in"].explanation
    assert "token_form" not in found


@pytest.mark.parametrize(
    ("script", "word"),
    [
        (answer("<title>Maintenance</title>", 503), "503"),
        (answer("<title>Welcome</title>no form"), "Welcome"),
        (answer("", 302, Location="/keys"), "20 pages"),
        (answer("", 302, Location="http://127.0.0.1:1/"), "cannot be reached"),
        (answer("", 302, Location="ftp://127.0.0.1/"), "not an http"),
        (answer(b"\xff\xfe\0\0"), "no sign-in form"),
    ],
)
def test_a_provider_that_does_not_sign_in_says_why(script: Any, word: str, running: Running) -> None:
    running[1].script = script
    found = check(running)
    assert found["sign_in"].outcome == "failed"
    assert word in found["sign_in"].explanation


def test_a_provider_without_a_login_url_is_told_so(running: Running) -> None:
    assert check(running, login_url="")["login_url"].outcome == "failed"


def test_plain_http_to_another_machine_fails(running: Running) -> None:
    """No program listens at that IP, which is reserved for documentation: only the setting is validated."""
    found = check_idp(provider(running[1], login_url="http://login.invalid/"), KEYS, TYPED, GATE, PATHS)
    assert found[0].check == "https"
    assert found[0].outcome == "failed"


def test_missing_keys_do_not_stop_the_rest(running: Running) -> None:
    found = {f.check: f for f in check_idp(provider(running[1]), None, TYPED, GATE, PATHS)}
    assert found["token_signature"].code == "key_unavailable"
    assert found["fresh_tokens"].outcome == "passed"


def test_our_own_identity_provider_passes_with_nothing_but_the_advice_on_urls(pair: Pair) -> None:
    args = ("check-idp", "--provider", "corporate", "--email", ALICE.email, "--password-stdin", "--json")
    done = pair.sp_command(*args, typed=f"{ALICE.password}\n", check=False)
    report = json.loads(done.stdout)
    assert (done.returncode, report["passed"], report["grade"]) == (0, True, "B"), report
    assert [f["check"] for f in report["findings"] if f["outcome"] in ("failed", "advice")] == ["address"]
