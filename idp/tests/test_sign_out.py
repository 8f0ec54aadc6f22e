"""Signing out in a browser, on our own page and at the request of a service."""

from __future__ import annotations

import pytest
from flask import Flask
from shared.keys import load_key
from shared.tokens import sign

from idp.people import DirectoryUnavailable
from idp.tests.support import (
    ALICE,
    GATE,
    KEY,
    MALLORY,
    OTHER_KEY,
    Browser,
    Clock,
    register,
    sign_out_token,
    token_in,
    unverified,
    words,
)


@pytest.fixture
def browser(app: Flask) -> Browser:
    """A browser in which Alice is signed in."""
    browser = Browser(app)
    browser.sign_in()
    return browser


def is_signed_in(browser: Browser) -> bool:
    return browser.get("/login-token/?service=gate").status_code == 303


def test_the_service_signs_its_person_out(browser: Browser, clock: Clock) -> None:
    answer = browser.get(f"/logout?jwt={sign_out_token(clock())}")
    assert answer.status_code == 200
    assert f"{ALICE.email} is signed out here, as The gate requested." in words(answer)
    assert 'href="https://gate.example/"' in answer.text
    assert not is_signed_in(browser)


def test_the_session_is_over_on_the_server_too(app: Flask, browser: Browser, clock: Clock) -> None:
    stolen = Browser(app)
    stolen.plant("idp_session", browser.cookie("idp_session") or "")
    assert is_signed_in(stolen)
    browser.get(f"/logout?jwt={sign_out_token(clock())}")
    assert not is_signed_in(stolen)


def test_the_page_names_the_person_without_a_session_too(app: Flask, clock: Clock) -> None:
    answer = Browser(app).get(f"/logout?jwt={sign_out_token(clock())}")
    assert answer.status_code == 200
    assert ALICE.email in words(answer)


def test_the_address_in_the_token_is_escaped(app: Flask, clock: Clock) -> None:
    answer = Browser(app).get(f"/logout?jwt={sign_out_token(clock(), email='<script>alert(1)</script>')}")
    assert "<script>" not in answer.text
    assert "&lt;script&gt;" in answer.text


def test_a_token_for_another_person_signs_nobody_out_and_says_so(browser: Browser, clock: Clock) -> None:
    answer = browser.get(f"/logout?jwt={sign_out_token(clock(), email=MALLORY.email)}")
    assert "The sign-out request was for another user" in words(answer)
    assert MALLORY.email in words(answer)
    assert ALICE.email in words(answer)
    assert is_signed_in(browser)


def test_the_address_is_compared_without_case(browser: Browser, clock: Clock) -> None:
    browser.get(f"/logout?jwt={sign_out_token(clock(), email='ALICE@example.com')}")
    assert not is_signed_in(browser)


def test_a_sign_in_token_signs_nobody_out(app: Flask, browser: Browser) -> None:
    token = token_in(browser.get("/login-token/?service=gate"))
    answer = browser.get(f"/logout?jwt={token}")
    assert answer.status_code == 401
    assert "token_type_wrong" in words(answer)
    assert is_signed_in(browser)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"key": OTHER_KEY}, "signature_invalid"),
        ({"typ": "JWT", "events": None}, "token_type_wrong"),
        ({"typ": "at+jwt", "events": None}, "token_type_wrong"),
        ({"events": {"something": {}}}, "claim_invalid"),
        ({"events": "text"}, "claim_invalid"),
        ({"nonce": "n"}, "claim_invalid"),
        ({"email": None}, "claim_missing"),
        ({"email": ["alice@example.com"]}, "claim_missing"),
        ({"iat": None}, "claim_missing"),
        ({"iss": "http://idp.example"}, "issuer_mismatch"),
        ({"aud": "https://somebody.example"}, "audience_mismatch"),
    ],
)
def test_a_bad_token_is_a_401_that_says_why(
    browser: Browser, clock: Clock, changes: dict[str, object], code: str
) -> None:
    answer = browser.get(f"/logout?jwt={sign_out_token(clock(), **changes)}")  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert code in words(answer)
    assert is_signed_in(browser)


@pytest.mark.parametrize(
    ("shift", "code"),
    [(-121, "token_expired"), (61, "token_not_yet_valid")],
)
def test_a_token_of_another_time_is_refused(browser: Browser, clock: Clock, shift: int, code: str) -> None:
    assert code in words(browser.get(f"/logout?jwt={sign_out_token(clock() + shift)}"))
    assert is_signed_in(browser)


def test_a_token_that_never_expires_is_refused_when_it_is_old(browser: Browser, clock: Clock) -> None:
    token = sign_out_token(clock() - 400, exp=None)
    assert "token_too_old" in words(browser.get(f"/logout?jwt={token}"))
    assert is_signed_in(browser)


@pytest.mark.parametrize("token", ["", "no-token", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "x" * 9000])
def test_what_is_no_token_is_a_401(browser: Browser, token: str) -> None:
    assert browser.get(f"/logout?jwt={token}").status_code == 401
    assert is_signed_in(browser)


def test_clocks_may_differ_by_a_minute(browser: Browser, clock: Clock) -> None:
    browser.get(f"/logout?jwt={sign_out_token(clock() - 110)}")
    assert not is_signed_in(browser)


def test_events_mark_a_sign_out_whatever_its_type(browser: Browser, clock: Clock) -> None:
    browser.get(f"/logout?jwt={sign_out_token(clock(), typ='JWT')}")
    assert not is_signed_in(browser)


def test_our_own_back_channel_token_is_not_taken_back(app: Flask, browser: Browser, clock: Clock) -> None:
    ours = sign_out_token(clock(), iss="http://idp.example", aud="https://gate.example")
    assert browser.get(f"/logout?jwt={ours}").status_code == 401


def test_an_untyped_token_is_taken_from_a_service_that_says_so(app: Flask, browser: Browser, clock: Clock) -> None:
    register(app, gate={**GATE, "untyped_logout": True})
    ours = token_in(browser.get("/login-token/?service=gate"))
    assert browser.get(f"/logout?jwt={ours}").status_code == 401
    theirs = sign_out_token(clock(), typ="JWT", events=None, iss=None, jti="made-by-the-service")
    assert browser.get(f"/logout?jwt={theirs}").status_code == 200
    assert not is_signed_in(browser)


def test_an_untyped_request_of_ispring_is_taken_and_a_sign_in_token_of_ours_is_not(
    app: Flask, browser: Browser, clock: Clock
) -> None:
    register(app, gate={**GATE, "preset": "ispring"})
    ours = token_in(browser.get("/login-token/?service=gate"))
    assert browser.get(f"/logout?jwt={ours}").status_code == 401
    assert is_signed_in(browser)
    theirs = sign_out_token(clock(), typ="JWT", events=None, iss=None, jti="made-by-ispring")
    answer = browser.get(f"/logout?jwt={theirs}")
    assert answer.status_code == 200
    assert f"{ALICE.email} is signed out here, as The gate requested." in words(answer)
    assert not is_signed_in(browser)


def test_attack_a_sign_in_token_for_another_service_with_the_same_secret_signs_nobody_out(
    app: Flask, browser: Browser
) -> None:
    register(app, gate={**GATE, "preset": "ispring"}, tower={**GATE, "preset": "ispring"})
    for service in ("gate", "tower"):
        token = token_in(browser.get(f"/login-token/?service={service}"))
        assert browser.get(f"/logout?jwt={token}").status_code == 401
    assert is_signed_in(browser)


def test_the_preset_of_ispring_can_be_told_to_refuse_untyped_requests(
    app: Flask, browser: Browser, clock: Clock
) -> None:
    register(app, gate={**GATE, "preset": "ispring", "untyped_logout": False})
    theirs = sign_out_token(clock(), typ="JWT", events=None, iss=None, jti="made-by-ispring")
    assert "token_type_wrong" in words(browser.get(f"/logout?jwt={theirs}"))
    assert is_signed_in(browser)


def test_a_service_with_public_keys_signs_out_with_keys_of_its_own(app: Flask, browser: Browser, clock: Clock) -> None:
    from shared.keys import generate_key, public_pem

    private = generate_key("ES256")
    table = {**GATE, "algorithm": "RS256", "keys": []}
    register(app, gate={**table, "logout_algorithm": "ES256", "logout_keys": [public_pem(private)]})
    claims = unverified(sign_out_token(clock()))
    token = sign(claims, load_key(private, "ES256"), typ="logout+jwt")
    assert browser.get(f"/logout?jwt={token}").status_code == 200
    assert not is_signed_in(browser)


def test_a_service_with_public_keys_alone_cannot_be_impersonated_by_a_secret(
    app: Flask, browser: Browser, clock: Clock
) -> None:
    register(app, gate={**GATE, "algorithm": "RS256", "keys": []})
    assert browser.get(f"/logout?jwt={sign_out_token(clock(), KEY)}").status_code == 401


def test_a_head_request_signs_nobody_out(browser: Browser, clock: Clock) -> None:
    browser.head(f"/logout?jwt={sign_out_token(clock())}")
    assert is_signed_in(browser)


def test_without_a_token_the_page_asks(browser: Browser) -> None:
    assert "Sign out?" in words(browser.get("/logout"))
    assert is_signed_in(browser)


def test_the_button_signs_out(browser: Browser) -> None:
    answer = browser.submit("/logout")
    assert answer.status_code == 200
    assert f"{ALICE.email} is signed out here" in words(answer)
    assert browser.cookie("idp_session") is None
    assert not is_signed_in(browser)


def test_a_form_of_another_site_signs_nobody_out(browser: Browser) -> None:
    assert browser.post("/logout").status_code == 400
    assert is_signed_in(browser)


def test_whoever_wants_to_leave_can_while_the_directory_is_away(
    app: Flask, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise DirectoryUnavailable

    monkeypatch.setattr(app.extensions["idp"].people, "find", away)
    assert browser.get("/login-token/?service=gate").status_code == 503
    assert f"{ALICE.email} is signed out here" in words(browser.submit("/logout"))


def test_signing_out_twice_is_no_error(browser: Browser) -> None:
    browser.submit("/logout")
    assert "You are not signed in to this site" in words(browser.get("/logout"))
