"""A trial sign-in reports everything that would happen, without a session and without changing an account."""

import json
import re
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from lab.cast import ALICE, CAROL, Person
from lab.clock import Clock
from lab.minting import mint, sign_text
from sp.admin.snippets import EXAMPLE_ISSUER
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, KEY, PAGE, SECOND_KEY, administrator_of, stored
from tests.support.forms import Visitor
from tests.support.gateway import core_of

TRY = f"{PAGE}/try"


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    return gateway({"corporate": CORPORATE})


@pytest.fixture
def carol(app: Flask) -> Visitor:
    return administrator_of(app)


def begin(carol: Visitor) -> dict[str, str]:
    """Begin a trial; return what the identity provider is asked."""
    answer = carol.client.get(TRY)
    assert answer.status_code == 303
    assert answer.location.startswith("http://127.0.0.1:1/login-token/?")
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.location).query).items()}


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    alice = {
        "iat": now,
        "exp": now + 60,
        "jti": f"{time.perf_counter_ns()}",
        "email": ALICE.email,
        "given_name": "Alice",
    }
    return {name: value for name, value in {**alice, **more}.items() if value is not None}


def bring(carol: Visitor, token: str, method: str = "GET", address: str = "/sso/login/jwt") -> TestResponse:
    """Come back from the identity provider with *token*, and look at the report."""
    answer = (
        carol.client.get(address, query_string={"jwt": token})
        if method == "GET"
        else carol.client.post(address, data={"jwt": token})
    )
    assert answer.status_code == 303, answer.text
    assert answer.location.startswith("/settings/sso/jwt/trial/"), answer.location
    return carol.open(answer.location)


def state(app: Flask) -> list[Any]:
    """Return everything that a sign-in could change."""
    tables = {"session": "public_id", "account": "*", "identity": "*", "provider": "*", "provider_key": "*"}
    with core_of(app).database.engine.connect() as connection:
        queries = [text(f"SELECT {columns} FROM {table}") for table, columns in tables.items()]  # noqa: S608
        return [connection.execute(query).all() for query in queries]


# It opens no session


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_trial_opens_no_session_and_changes_no_account(app: Flask, carol: Visitor, method: str) -> None:
    asked = begin(carol)
    before = state(app)
    bring(carol, mint(claims(nonce=asked["nonce"]), KEY), method)
    assert "This sign-in would succeed. A new account would be created for alice@example.com." in carol.text
    assert state(app) == before
    assert CAROL.email in carol.open("/account").text


def test_the_token_of_a_trial_is_spent(app: Flask, carol: Visitor) -> None:
    asked = begin(carol)
    token = mint(claims(nonce=asked["nonce"]), KEY)
    bring(carol, token)
    answer = carol.client.get("/sso/login/jwt", query_string={"jwt": token})
    assert "error?code=token_replayed" in answer.location
    assert "sp_session" not in answer.headers.get("Set-Cookie", "")


def test_a_token_that_fails_is_not_spent(app: Flask, carol: Visitor) -> None:
    begin(carol)
    bring(carol, mint(claims(exp=int(time.time()) - 600), KEY))
    with core_of(app).database.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM spent_token")).scalar() == 0


def test_a_trial_needs_nothing_of_the_identity_provider_not_even_an_echo(carol: Visitor) -> None:
    begin(carol)
    bring(carol, mint(claims(), KEY))
    assert "This sign-in would succeed" in carol.text
    assert "If the identity provider can send the nonce back, turn that on" in carol.text


def test_a_provider_can_be_tried_before_it_is_enabled(gateway: MakeGateway) -> None:
    app = gateway({"corporate": {**CORPORATE, "enabled": False}})
    carol = administrator_of(app)
    begin(carol)
    bring(carol, mint(claims(), KEY))
    assert "The provider is disabled. Enable it, so that people can sign in with it." in carol.text
    stranger = app.test_client().get("/sso/login/jwt", query_string={"jwt": mint(claims(), KEY)})
    assert "provider_disabled" in stranger.location
    carol.send(carol.form(f"{PAGE}/enable"))
    assert "Corporate is enabled." in carol.text
    assert stored(app).provider.enabled


def test_a_failed_test_does_not_offer_to_enable_the_provider(gateway: MakeGateway) -> None:
    carol = administrator_of(gateway({"corporate": {**CORPORATE, "enabled": False}}))
    begin(carol)
    bring(carol, mint(claims(), SECOND_KEY))
    assert "The provider is disabled. Enable it once the test passes." in carol.text
    assert f'action="{PAGE}/enable"' not in carol.page.text


def test_a_provider_that_is_not_the_default_is_tried_at_its_own_address(gateway: MakeGateway) -> None:
    app = gateway({"corporate": {**CORPORATE, "default": False}, "main": {**CORPORATE, "keys": [SECOND_KEY]}})
    carol = administrator_of(app)
    begin(carol)
    bring(carol, mint(claims(), KEY), address="/sso/login/jwt/corporate")
    assert "This sign-in would succeed" in carol.text


def test_a_provider_without_an_address_cannot_be_tried_and_the_page_says_why(gateway: MakeGateway) -> None:
    carol = administrator_of(gateway({"corporate": {**CORPORATE, "login_url": ""}}))
    assert carol.open(TRY).status_code == 409
    assert "identity provider URL is missing" in carol.text


def test_a_report_is_read_by_the_administrator_who_made_it_only(app: Flask, carol: Visitor) -> None:
    begin(carol)
    address = bring(carol, mint(claims(), KEY)).request.path
    core_of(app).people.create_administrator("dave@example.com", "another-keeper-9912")
    dave = Visitor(app.test_client()).sign_in(Person("dave@example.com", "another-keeper-9912", "Dave", "Doorman"))
    assert dave.open(address).status_code == 404
    assert app.test_client().get(address).status_code == 303
    assert carol.open(address).status_code == 200


def test_the_same_form_sent_twice_keeps_the_first_report(app: Flask, carol: Visitor) -> None:
    asked = begin(carol)
    assert carol.client._cookies is not None
    cookies = {cookie.key: cookie.value for cookie in carol.client._cookies.values()}
    token = mint(claims(nonce=asked["nonce"]), KEY)
    bring(carol, token)
    for name, value in cookies.items():
        carol.client.set_cookie(name, value)
    bring(carol, token)
    assert "This sign-in would succeed" in carol.text


# An ordinary sign-in does not count as a trial, nor a trial as a sign-in


def test_a_sign_in_that_was_begun_after_the_trial_is_a_sign_in(app: Flask, carol: Visitor) -> None:
    begin(carol)
    time.sleep(1.01)  # pending sign-ins count whole seconds
    carol.client.get("/sso/start/corporate?return_to=/wanted")
    answer = carol.client.get("/sso/login/jwt", query_string={"jwt": mint(claims(), KEY)})
    assert answer.location == "/wanted"
    assert "sp_session" in answer.headers["Set-Cookie"]


def test_the_nonce_tells_which_of_both_a_token_answers(app: Flask, carol: Visitor) -> None:
    asked = begin(carol)
    location = carol.client.get("/sso/start/corporate?return_to=/wanted").location
    nonce = parse_qs(urlsplit(location).query)["nonce"][0]
    bring(carol, mint(claims(nonce=asked["nonce"]), KEY))
    answer = carol.client.get("/sso/login/jwt", query_string={"jwt": mint(claims(nonce=nonce), KEY)})
    assert answer.location == "/wanted"


def test_a_trial_in_this_browser_does_not_count_as_a_sign_in_that_was_asked_for(gateway: MakeGateway) -> None:
    """Login CSRF: a stranger's token must not find a trial to lean on."""
    app = gateway({"corporate": {**CORPORATE, "unsolicited": "refuse"}})
    carol = administrator_of(app)
    begin(carol)
    answer = carol.client.get("/sso/login/jwt", query_string={"jwt": mint(claims(nonce="mallory"), KEY)})
    assert "sp_session" not in answer.headers.get("Set-Cookie", "")
    assert "nonce_mismatch" in carol.open(answer.location).text


def test_a_trial_does_not_count_as_asked_for_where_json_is_wanted_either(gateway: MakeGateway) -> None:
    app = gateway({"corporate": {**CORPORATE, "unsolicited": "refuse"}})
    carol = administrator_of(app)
    begin(carol)
    answer = carol.client.get(
        "/sso/login/jwt", query_string={"jwt": mint(claims(), KEY)}, headers={"Accept": "application/json"}
    )
    assert answer.get_json()["error"] == "unsolicited"


def test_a_forged_trial_cookie_is_no_trial(app: Flask) -> None:
    client = app.test_client()
    client.set_cookie("sp_pending_12345678", "WyJuIiwiY29ycG9yYXRlIiwiLyIsMSwidCIsMV0.forged")
    answer = client.get("/sso/login/jwt", query_string={"jwt": mint(claims(), KEY)})
    assert answer.location.startswith("/sso/start/corporate")


def test_a_link_preview_of_a_trial_spends_nothing(app: Flask, carol: Visitor) -> None:
    begin(carol)
    token = mint(claims(), KEY)
    assert carol.client.head("/sso/login/jwt", query_string={"jwt": token}).status_code == 200
    bring(carol, token)
    assert "This sign-in would succeed" in carol.text


# What the report says


def test_every_check_is_listed_with_what_came_of_it(carol: Visitor) -> None:
    begin(carol)
    bring(carol, mint(claims(), KEY))
    for check in ("Form", "Algorithm", "Signature", "Payload", "Claim types", "Required", "Expiry", "Age",
                  "Nonce", "Field matching"):  # fmt: skip
        assert f"<strong>{check}</strong>" in carol.page.text, check


@pytest.mark.parametrize(
    ("more", "key", "code"),
    [
        ({"exp": "tomorrow"}, KEY, "claim_invalid"),
        ({"exp": int(time.time()) - 100, "iat": int(time.time()) - 200}, KEY, "token_expired"),
        ({"jti": None}, KEY, "claim_missing"),
        ({"email": "no address"}, KEY, "claim_invalid"),
        ({}, SECOND_KEY, "signature_invalid"),
        ({"nonce": "of somebody else"}, KEY, "nonce_mismatch"),
        ({"email": CAROL.email}, KEY, "email_conflict"),
    ],
)
def test_a_refusal_is_named_with_its_code_and_what_to_do(
    app: Flask, carol: Visitor, more: dict[str, Any], key: str, code: str
) -> None:
    begin(carol)
    before = state(app)
    bring(carol, mint(claims(**more), key))
    assert f"This sign-in would be rejected: {code}" in carol.text
    assert state(app) == before


def test_the_checks_go_on_after_the_first_failure_and_are_marked_unverified(carol: Visitor) -> None:
    begin(carol)
    bring(carol, mint(claims(jti=None, iat="today"), SECOND_KEY))
    assert carol.page.text.count('class="check-failed"') >= 3
    assert "Content of the token (unverified)" in carol.text


@pytest.mark.parametrize(
    "rubbish", ["x", "a.b.c", "..", "e30.e30.e30", "%00", "{}", "a" * 9000, "eyJhbGciOiJIUzI1NiJ9.bnVsbA.AA"]
)
def test_rubbish_makes_a_report_and_no_error(carol: Visitor, rubbish: str) -> None:
    begin(carol)
    assert bring(carol, rubbish, "POST").status_code == 200
    assert "This sign-in would be rejected" in carol.text


@pytest.mark.parametrize(
    "payload",
    [
        '{"iat": NaN, "x": Infinity}',
        '{"name": "\\ud800", "email": "\\u0000"}',
        '{"x": ' + "[" * 2500 + "]" * 2500 + "}",
        '{"x": ' + "[" * 700 + "]" * 700 + "}",
        '[{"email": "a@b.c"}]',
        '{"<script>alert(1)</script>": "<img src=x>", "email": "<i>a</i>@example.com"}',
    ],
)
@pytest.mark.parametrize("key", [KEY, SECOND_KEY])
def test_strange_claims_make_a_report_and_no_error(carol: Visitor, payload: str, key: str) -> None:
    begin(carol)
    page = bring(carol, sign_text(payload, key), "POST")
    assert page.status_code == 200
    assert "<script>" not in page.text
    assert "<img" not in page.text.split("<main")[1]


def test_no_token_at_all_makes_a_report(carol: Visitor) -> None:
    begin(carol)
    bring(carol, "")
    assert "token_missing" in carol.text


def test_a_delivery_that_is_not_allowed_makes_a_report(gateway: MakeGateway) -> None:
    carol = administrator_of(gateway({"corporate": {**CORPORATE, "deliveries": ["form"]}}))
    begin(carol)
    bring(carol, mint(claims(), KEY))
    assert "delivery_not_allowed" in carol.text


def test_claims_that_nobody_maps_and_fields_that_nothing_fills_are_listed(carol: Visitor) -> None:
    begin(carol)
    bring(carol, mint(claims(shoe_size=43, given_name="Alice"), KEY))
    assert "Claims that fill no field: shoe_size" in carol.text
    rows = dict(
        re.findall(r'<td data-label="Field here">(\w+)</td>\s*<td[^>]*>.*?</td>\s*<td[^>]*>(.*?)</td>', carol.page.text)
    )
    assert rows["given_name"] == "Alice"
    assert "not in the token; this field is optional" in rows["family_name"]
    assert "text-danger" not in rows["family_name"]


def test_only_a_field_that_every_sign_in_needs_is_marked_as_missing(carol: Visitor) -> None:
    begin(carol)
    bring(carol, mint(claims(email=None), KEY))
    assert carol.text.count("no claim fills this field") == 2  # id and email
    assert "groups groups not in the token; this field is optional" in carol.text


# An issuer and an audience that are required, and compared with nothing

NAMED = {"iss": "https://people.example.org", "aud": "https://app.example.org"}
REQUIRED: dict[str, Any] = {"issuer": {"required": True}, "audience": {"required": True}}


def test_values_that_are_required_but_compared_with_nothing_can_be_taken_over_from_the_report(
    gateway: MakeGateway,
) -> None:
    app = gateway({"corporate": {**CORPORATE, **REQUIRED}})
    carol = administrator_of(app)
    begin(carol)
    report = bring(carol, mint(claims(**NAMED), KEY)).request.path
    assert carol.page.text.count('class="check-advice"') == 3  # the third is the nonce
    assert "iss is required, but any value is accepted; this one is https://people.example.org" in carol.text
    assert (
        "Recommended: accept only tokens with these values Any issuer and any audience are accepted so far."
        in carol.text
    )
    carol.send(carol.form(f"{report}/expect"))
    assert "tokens with another issuer or audience are rejected" in carol.text
    assert f'action="{report}/expect"' not in carol.page.text
    assert "Only https://people.example.org is accepted now." in carol.text
    assert carol.page.text.count('class="check-advice"') == 1, "the advice that was taken is no advice any more"
    provider = stored(app).provider
    assert (provider.issuer.expected, provider.audience.expected) == (NAMED["iss"], NAMED["aud"])
    begin(carol)
    bring(carol, mint(claims(**{**NAMED, "iss": "https://elsewhere.example"}), KEY))
    assert "This sign-in would be rejected: issuer_mismatch" in carol.text


def test_what_is_not_required_or_compared_already_needs_no_advice(gateway: MakeGateway) -> None:
    expected = {"issuer": {"required": True, "expected": NAMED["iss"]}}
    carol = administrator_of(gateway({"corporate": {**CORPORATE, **expected}}))
    begin(carol)
    bring(carol, mint(claims(**NAMED), KEY))
    assert "accepted so far" not in carol.text
    assert carol.page.text.count('class="check-advice"') == 1  # the nonce


def test_attack_a_report_of_a_token_that_is_not_valid_offers_no_values(gateway: MakeGateway) -> None:
    """Else a stranger who gets an administrator to test a token would choose the issuer that is expected."""
    app = gateway({"corporate": {**CORPORATE, **REQUIRED}})
    carol = administrator_of(app)
    begin(carol)
    report = bring(carol, mint(claims(**NAMED), SECOND_KEY)).request.path
    assert f'action="{report}/expect"' not in carol.page.text
    carol.open(PAGE)
    carol.client.post(f"{report}/expect", data={"csrf_token": carol.form(PAGE).fields["csrf_token"]})
    assert stored(app).provider.issuer.expected == ""


def test_attack_the_values_are_those_of_the_report_whatever_the_form_says(gateway: MakeGateway) -> None:
    app = gateway({"corporate": {**CORPORATE, **REQUIRED}})
    carol = administrator_of(app)
    begin(carol)
    report = bring(carol, mint(claims(**NAMED), KEY)).request.path
    form = carol.form(f"{report}/expect")
    form.fields["issuer"] = "https://evil.example"
    carol.send(form)
    assert stored(app).provider.issuer.expected == NAMED["iss"]
    stranger = app.test_client().post(f"{report}/expect")
    assert "/login" in stranger.location


def test_the_values_of_a_provider_of_the_file_are_entered_there(gateway: MakeGateway) -> None:
    app = gateway()
    settings = {"corporate": {**CORPORATE, **REQUIRED}}
    core_of(app).provider_store.apply(settings, actor="test", managed_by_file=True)
    carol = administrator_of(app)
    begin(carol)
    report = bring(carol, mint(claims(**NAMED), KEY)).request.path
    assert "managed by the file that SP_CONFIG names. Enter these values in the file." in carol.text
    assert f'action="{report}/expect"' not in carol.page.text
    carol.open("/settings/sso/jwt/new?preset=strict")
    token = carol.form("/settings/sso/jwt/new").fields["csrf_token"]
    carol.client.post(f"{report}/expect", data={"csrf_token": token})
    assert stored(app).provider.issuer.expected == ""


def test_the_issuer_of_our_example_is_not_offered(gateway: MakeGateway) -> None:
    carol = administrator_of(gateway({"corporate": {**CORPORATE, **REQUIRED}}))
    begin(carol)
    bring(carol, mint(claims(**{**NAMED, "iss": EXAMPLE_ISSUER}), KEY))
    assert "accept only tokens with this value Any audience is accepted so far." in carol.text
    assert f"Issuer {EXAMPLE_ISSUER}" not in carol.text


def test_a_report_says_so_if_the_settings_expect_something_else_by_now(gateway: MakeGateway) -> None:
    app = gateway({"corporate": {**CORPORATE, **REQUIRED}})
    carol = administrator_of(app)
    begin(carol)
    report = bring(carol, mint(claims(**NAMED), KEY)).request.path
    carol.open(PAGE)
    carol.send(carol.form(PAGE).fill(issuer__expected="https://other.example", audience__required=[]))
    carol.open(report)
    assert "the settings have changed since this test: they expect https://other.example" in carol.text
    assert "this claim is no longer required" in carol.text


def test_checks_that_passed_are_folded_and_what_needs_attention_comes_first(carol: Visitor) -> None:
    begin(carol)
    bring(carol, mint(claims(email=None), KEY))
    before, folded = carol.page.text.split("<details>")
    assert 'class="check-failed"' in before
    assert 'class="check-passed"' not in before
    assert 'class="check-failed"' not in folded
    assert re.search(r"<summary>\d+ passed, \d+ skipped</summary>", folded)
    assert "`" not in carol.text


def test_an_issuer_that_is_not_the_expected_one_leads_to_its_setting(gateway: MakeGateway) -> None:
    carol = administrator_of(gateway({"corporate": {**CORPORATE, "issuer": NAMED["iss"]}}))
    begin(carol)
    bring(carol, mint(claims(iss="https://elsewhere.example"), KEY))
    assert "enter its iss in the settings: Token requirements, Issuer. To this setting" in carol.text
    assert f'href="{PAGE}#issuer-expected"' in carol.page.text
    assert 'id="issuer-expected"' in carol.open(PAGE).text


def test_the_time_of_a_test_is_when_its_token_arrived(app: Flask, carol: Visitor, clock: Clock) -> None:
    begin(carol)
    begun = clock.time()
    clock.tick(seconds=95)
    now = int(clock.time())
    report = bring(carol, mint(claims(iat=now, exp=now + 60), KEY)).request.path
    trial = core_of(app).trials.find(report.rpartition("/")[2], 1)
    assert trial is not None
    assert trial.ended_at >= begun + 94


def test_the_list_and_the_page_say_that_a_test_has_used_the_key(app: Flask, carol: Visitor) -> None:
    begin(carol)
    bring(carol, mint(claims(), SECOND_KEY))
    for page in ("/settings/sso/jwt", PAGE):
        carol.open(page)
        assert "not used yet" in carol.text
    begin(carol)
    bring(carol, mint(claims(), KEY))
    for page in ("/settings/sso/jwt", PAGE):
        carol.open(page)
        assert re.search(r"used by a test [^,]+, not by a sign-in yet", carol.text), carol.text
    client = app.test_client()
    client.get("/sso/start/corporate")
    client.get("/sso/login/jwt", query_string={"jwt": mint(claims(), KEY)})
    for page in ("/settings/sso/jwt", PAGE):
        assert "used by a test" not in carol.open(page).text


def test_joining_an_account_is_foretold(app: Flask, carol: Visitor) -> None:
    core = core_of(app)
    core.people.create_administrator(ALICE.email, ALICE.password)
    with core.database.engine.begin() as connection:
        connection.execute(
            text("UPDATE account SET is_admin = false, given_name = 'Al' WHERE email = 'alice@example.com'")
        )
    begin(carol)
    before = state(app)
    bring(carol, mint(claims(), KEY))
    assert "would be linked to the account with the e-mail address alice@example.com" in carol.text
    assert "Linked ID to alice@example.com" in carol.text
    assert "Nothing. The account already matches" not in carol.text
    assert "given_name from Al to Alice" in carol.text
    assert state(app) == before


def test_a_sign_in_to_a_known_account_is_foretold_with_what_it_would_change(app: Flask, carol: Visitor) -> None:
    client = app.test_client()
    client.get("/sso/start/corporate")
    client.get("/sso/login/jwt", query_string={"jwt": mint(claims(groups=["staff"]), KEY)})
    begin(carol)
    before = state(app)
    bring(carol, mint(claims(groups=["staff", "night watch"], given_name="Alicia", iat=int(time.time()) + 1), KEY))
    assert "The person would be signed in to the account of alice@example.com" in carol.text
    assert "given_name from Alice to Alicia" in carol.text
    assert '"night watch"' in carol.text
    assert state(app) == before


def test_a_full_house_is_foretold(gateway: MakeGateway) -> None:
    app = gateway({"corporate": CORPORATE}, SP_SEAT_LIMIT="1")
    carol = administrator_of(app)
    begin(carol)
    bring(carol, mint(claims(), KEY))
    assert "seat_limit_reached" in carol.text


def test_a_trial_is_written_down_as_one_and_without_the_token(app: Flask, carol: Visitor) -> None:
    begin(carol)
    token = mint(claims(), KEY)
    bring(carol, token)
    with core_of(app).database.engine.connect() as connection:
        row = connection.execute(text("SELECT event, code, email, detail FROM activity ORDER BY id DESC")).first()
        report = connection.execute(text("SELECT report FROM trial")).scalar()
    assert row is not None
    assert (row[0], row[1], row[2]) == ("trial", None, ALICE.email)
    assert token.split(".")[2] not in json.dumps([list(row), report])


def test_reports_are_kept_for_a_day(app: Flask, carol: Visitor) -> None:
    begin(carol)
    address = bring(carol, mint(claims(), KEY)).request.path
    with core_of(app).database.engine.begin() as connection:
        connection.execute(text("UPDATE trial SET started_at = started_at - 86500"))
    begin(carol)
    bring(carol, mint(claims(), KEY))
    assert carol.open(address).status_code == 404


# A pasted token


def inspect(carol: Visitor, token: str) -> None:
    carol.open(PAGE)
    carol.send(carol.form(f"{PAGE}/inspect").fill(token=token))


def test_a_token_at_hand_is_judged_without_being_spent_kept_or_written_down(app: Flask, carol: Visitor) -> None:
    token = mint(claims(shoe_size=43), KEY)
    before = state(app)
    inspect(carol, f"\n {token} ")
    assert "This sign-in would succeed. A new account would be created for alice@example.com." in carol.text
    assert "Claims that fill no field: shoe_size" in carol.text
    assert token not in carol.page.text
    assert token.split(".")[2] not in carol.page.text
    assert state(app) == before
    with core_of(app).database.engine.connect() as connection:
        for table in ("spent_token", "trial"):
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 0  # noqa: S608
    inspect(carol, token)
    assert "This sign-in would succeed" in carol.text


def test_a_token_that_was_spent_is_said_to_be_so(app: Flask, carol: Visitor) -> None:
    token = mint(claims(), KEY)
    client = app.test_client()
    client.get("/sso/start/corporate")
    client.get("/sso/login/jwt", query_string={"jwt": token})
    inspect(carol, token)
    assert "This sign-in would be rejected: token_replayed" in carol.text


@pytest.mark.parametrize(
    "rubbish", ["", "x", "a.b.c", "e30.e30.e30", sign_text('{"x": ' + "[" * 2500 + "]" * 2500 + "}", KEY)]
)
def test_rubbish_at_hand_makes_a_report_and_no_error(carol: Visitor, rubbish: str) -> None:
    inspect(carol, rubbish)
    assert carol.page.status_code == 200
    assert "This sign-in would be rejected" in carol.text


def test_a_trial_sees_the_settings_that_were_saved_by_another_worker_a_moment_ago(gateway: MakeGateway) -> None:
    app = gateway({"corporate": CORPORATE})
    carol = administrator_of(app)
    core_of(app).provider_registry._cache = 3600
    core_of(app).provider_registry.all()
    core_of(gateway()).provider_store.apply(
        {"corporate": {**CORPORATE, "required_claims": ["iat", "badge"]}}, actor="test"
    )
    begin(carol)
    core_of(app).provider_registry._cache = 3600
    bring(carol, mint(claims(), KEY))
    assert "the claim badge is required and missing" in carol.text
