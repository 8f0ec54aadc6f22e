"""What a person reads when the gate stays shut."""

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from lab.browser import Chromium
from lab.cast import ALICE, stranger
from lab.journeys import expect_in, expect_refusal, open_sign_in_form, type_password
from lab.minting import mint, profile_claims
from lab.pair import Pair
from tests.support.watch import Watch

pytestmark = pytest.mark.browser


UNTIL_REDIRECTS_END = 10  # docs/protocol.md: a loop ends within so many

Change = dict[str, Any]


@pytest.mark.parametrize(
    ("code", "change", "text"),
    [
        ("token_expired", {"exp": -540, "iat": -600, "nbf": -600}, "The token has expired."),
        ("token_not_yet_valid", {"exp": 660, "iat": 600, "nbf": 600}, "The token is dated in the future."),
        (
            "issuer_mismatch",
            {"iss": "https://elsewhere.example"},
            "issuer of the token is not the one that is expected",
        ),
        ("audience_mismatch", {"aud": "https://elsewhere.example"}, "was issued for another service"),
        ("claim_missing", {"sub": None}, "does not contain a claim that is required"),
        ("claim_invalid", {"email": "not an address"}, "has an invalid value"),
    ],
)
def test_a_refused_token_leads_to_a_page_that_explains_it(
    page: Page, pair: Pair, code: str, change: Change, text: str
) -> None:
    page.goto(f"{pair.sp.url}/sso/login/jwt?{urlencode({'jwt': mint(changed_claims(pair, change), pair.key)})}")
    expect_refusal(page, pair, code)
    expect(page.get_by_role("main")).to_contain_text(text)


def test_a_token_signed_with_another_key_is_refused(page: Page, pair: Pair) -> None:
    forged = mint(changed_claims(pair, {}), "a key that mallory has made up by herself, long enough")
    page.goto(f"{pair.sp.url}/sso/login/jwt?{urlencode({'jwt': forged})}")
    expect_refusal(page, pair, "signature_invalid")


@pytest.mark.parametrize(("query", "code"), [("", "token_missing"), ("?jwt=abc", "token_malformed")])
def test_an_address_without_a_token_is_explained_too(page: Page, pair: Pair, query: str, code: str) -> None:
    page.goto(f"{pair.sp.url}/sso/login/jwt{query}")
    expect_refusal(page, pair, code)


def test_the_way_on_from_the_error_page_leads_to_the_page(page: Page, pair: Pair) -> None:
    page.goto(f"{pair.sp.url}/sso/login/jwt?jwt=abc")
    page.get_by_role("link", name="Start again").click()
    type_password(page, ALICE)
    expect_in(page, pair, ALICE)


def test_a_browser_that_blocks_the_gateways_cookies_is_told_so_within_ten_redirects(
    chromium: Chromium, pair: Pair, tmp_path: Path
) -> None:
    browser = chromium.launch_without_cookies_of(pair.sp.url, tmp_path)
    try:
        watch, page = Watch(browser), browser.new_page()
        open_sign_in_form(page, pair, "/reports")
        before = len(watch.visited)
        type_password(page, ALICE)
        expect_refusal(page, pair, "cookies_blocked")
        expect(page.get_by_role("main")).to_contain_text("your browser did not send our cookie back")
        expect(page.get_by_role("main")).to_contain_text("Allow cookies for this site and start again.")
        assert len(watch.visited) - before <= UNTIL_REDIRECTS_END
        assert not any(cookie["name"].startswith("sp_") for cookie in browser.cookies())
    finally:
        browser.close()


def test_an_error_page_with_a_made_up_code_or_reference_shows_neither(page: Page, pair: Pair) -> None:
    page.goto(f"{pair.sp.url}/access/jwt/error?code=<b>your+account+is+hacked</b>&reference=call+0900-12345")
    expect(page.get_by_role("heading", name="You could not be signed in")).to_be_visible()
    expect(page.get_by_role("main")).not_to_contain_text("hacked")
    expect(page.get_by_role("main")).not_to_contain_text("0900")


def changed_claims(pair: Pair, change: Change) -> Change:
    """Return the claims of a token that would be accepted, after *change*: None removes, a number is from now."""
    claims = profile_claims(stranger(), issuer=pair.idp.url, audience=pair.sp.url)
    now = int(time.time())
    claims |= {name: now + value if isinstance(value, int) else value for name, value in change.items()}
    return {name: value for name, value in claims.items() if value is not None}
