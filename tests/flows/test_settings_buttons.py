"""The other buttons of the settings pages: every one that test_settings_flow.py does not press."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from lab.cast import ALICE
from lab.journeys import expect_refusal
from lab.minting import mint
from lab.pair import Pair
from tests.conftest import NewContext, StartPair
from tests.flows.test_settings_flow import (
    create_a_provider,
    enter_by_local_password,
    match_a_field,
    serve,
    sign_alice_in,
)

pytestmark = pytest.mark.browser

LEARN = "/settings/sso/jwt/provider/learn"


def test_a_provider_is_mended_checked_switched_and_removed(page: Page, own_pair: Pair, tmp_path: Path) -> None:
    pair = own_pair
    enter_by_local_password(page, pair)
    key = create_a_provider(page, pair)
    serve(pair, tmp_path, [key])

    mistakes_are_told_beside_what_was_typed(page)
    a_pasted_token_is_checked_and_opens_nothing(page, pair, key)
    the_second_key_signs_sign_outs(page, pair)

    page.goto(pair.sp.url + LEARN)
    page.get_by_role("link", name="Disable").click()
    page.get_by_role("button", name="Disable").click()
    page.get_by_role("button", name="Enable").click()
    expect(page.get_by_text("Learning portal is enabled.")).to_be_visible()

    page.get_by_role("link", name="Remove this provider").click()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("heading", name="Remove Learning portal?")).to_be_visible()  # its name is to be typed
    page.get_by_label("to confirm").fill("learn")
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("The provider Learning portal was removed.")).to_be_visible()
    expect(page.get_by_role("link", name="Learning portal", exact=True)).to_have_count(0)


def test_a_person_is_found_signed_out_disabled_and_enabled(
    page: Page, start_pair: StartPair, new_context: NewContext, tmp_path: Path
) -> None:
    with start_pair(sp_env={"SP_SESSION_CACHE": "0"}) as pair:
        enter_by_local_password(page, pair)
        key = create_a_provider(page, pair)
        serve(pair, tmp_path, [key])
        match_a_field(page)
        alices = new_context().new_page()
        sign_alice_in(alices, pair)
        her_session_is_ended(page, alices, pair)
        she_is_disabled_and_enabled(page, alices, pair)
        find(page, pair, ALICE.email)
        page.get_by_role("button", name="End all sessions").click()
        expect(page.get_by_text(f"1 session has ended for {ALICE.email}.")).to_be_visible()


def her_session_is_ended(page: Page, alices: Page, pair: Pair) -> None:
    find(page, pair, ALICE.email)
    page.get_by_role("button", name="End the session since").click()
    expect(page.get_by_text("The session has ended.")).to_be_visible()
    expect(page.get_by_text("Not signed in anywhere.")).to_be_visible()
    alices.goto(f"{pair.sp.url}/account")
    expect(alices.get_by_role("heading", name=ALICE.name)).to_have_count(0)


def she_is_disabled_and_enabled(page: Page, alices: Page, pair: Pair) -> None:
    sign_in_anew = f"{pair.sp.url}/sso/start/learn?return_to=/account"  # her identity provider knows her still
    find(page, pair, ALICE.email)
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_text(f"{ALICE.email} is disabled, and all of its sessions have ended.")).to_be_visible()
    alices.goto(sign_in_anew)
    expect_refusal(alices, pair, "user_disabled")
    page.get_by_role("button", name="Enable").click()
    expect(page.get_by_text(f"{ALICE.email} is enabled.")).to_be_visible()
    alices.goto(sign_in_anew)
    expect(alices.get_by_role("heading", name=ALICE.name)).to_be_visible()


def mistakes_are_told_beside_what_was_typed(page: Page) -> None:
    """Save an existing provider with two errors: both are shown, the input is kept, and no change is saved."""
    page.get_by_label("Display name").fill("Renamed")
    page.get_by_label("Identity provider URL").fill("javascript:alert(1)")
    page.get_by_role("heading", name="Token requirements").click()
    page.get_by_label("Clock skew").fill("-5")
    page.get_by_role("button", name="Save", exact=True).last.click()
    expect(page.locator(".invalid-feedback:visible")).to_have_count(2)
    expect(page.get_by_label("Display name")).to_have_value("Renamed")
    expect(page.get_by_label("Clock skew")).to_have_value("-5")
    page.get_by_role("link", name="Discard").click()
    expect(page.get_by_label("Display name")).to_have_value("Learning portal")


def a_pasted_token_is_checked_and_opens_nothing(page: Page, pair: Pair, key: str) -> None:
    now = int(time.time())
    good = mint({"iat": now, "exp": now + 60, "jti": "a-pasted-token", "email": ALICE.email}, key)
    for token, words in ((good, "This sign-in would succeed."), (good[:-4] + "AAAA", "signature_invalid")):
        page.get_by_label("Token", exact=True).fill(token)
        with page.context.expect_page() as opened:
            page.get_by_role("button", name="Test this token").click()
        window = opened.value
        expect(window.get_by_role("heading", name="Token test results")).to_be_visible()
        expect(window.get_by_text(words).first).to_be_visible()
        window.close()
    assert ALICE.email not in pair.sp_command("users", "list").stdout


def the_second_key_signs_sign_outs(page: Page, pair: Pair) -> None:
    page.get_by_role("button", name="Generate a second key").click()
    page.get_by_role("link", name="To the settings").click()
    rows = page.locator("#key-list .session-row")
    first = rows.first.locator("code").inner_text()
    page.get_by_role("button", name="Sign with this key").click()
    expect(page.get_by_text("Sign-out tokens are now signed with this key.")).to_be_visible()
    assert rows.first.locator("code").inner_text() != first


def find(page: Page, pair: Pair, email: str) -> None:
    page.goto(f"{pair.sp.url}/settings/users")
    page.get_by_label("E-mail address or name").fill(email)
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name=email).first.click()
    expect(page.get_by_role("heading", name="Sessions")).to_be_visible()
