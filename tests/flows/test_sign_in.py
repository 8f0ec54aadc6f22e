"""Signing in, from a closed page to the page, by every way that a person may take: in the whole Chromium."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from lab.browser import Chromium
from lab.cast import ALICE, BOB, MALLORY
from lab.journeys import expect_in, open_sign_in_form, sign_in, type_password
from lab.pair import Pair
from tests.conftest import NewContext, StartPair

pytestmark = pytest.mark.browser

DEEP_LINK = "/courses/17/lesson?chapter=3&note=a%26b%20c"


@pytest.fixture(scope="module")
def browser(chromium: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The browser that people have. Other tests take its headless shell, which needs a third of the time."""
    running = chromium.launch(tmp_path_factory.mktemp("browser-home"), whole=True)
    yield running
    running.close()


def test_the_form_at_the_identity_provider_leads_to_the_page_that_was_asked_for(page: Page, pair: Pair) -> None:
    open_sign_in_form(page, pair)
    expect(page).to_have_title("Sign in to The gate · Lychgate")
    type_password(page, ALICE)
    expect_in(page, pair, ALICE)


def test_a_deep_link_keeps_its_query(page: Page, pair: Pair) -> None:
    sign_in(page, pair, ALICE, DEEP_LINK)


def test_a_deep_link_keeps_its_fragment_which_no_server_ever_sees(page: Page, pair: Pair) -> None:
    sign_in(page, pair, ALICE, f"{DEEP_LINK}#part-2")


def test_the_page_shows_who_came_how_and_with_which_claims(page: Page, pair: Pair) -> None:
    sign_in(page, pair, ALICE)
    facts = page.get_by_role("main")
    for text in (ALICE.name, ALICE.email, "staff", "by a token of corporate", '"nonce"'):
        expect(facts).to_contain_text(text)


def test_no_token_stays_in_the_address_the_history_or_the_referrer(page: Page, pair: Pair) -> None:
    sign_in(page, pair, ALICE, DEEP_LINK)
    assert page.evaluate("document.referrer") == ""
    visited = [page.url]
    while page.go_back() is not None:
        visited.append(page.url)
    assert len(visited) >= 2
    assert not any("eyJ" in address for address in visited)


def test_a_second_visit_needs_no_form(page: Page, pair: Pair) -> None:
    sign_in(page, pair, ALICE)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{pair.sp.url}/other")
    expect_in(page, pair, ALICE, "/other")
    assert not any(address.startswith(pair.idp.url) for address in asked)


def test_whoever_is_known_to_the_identity_provider_sees_no_form(page: Page, pair: Pair) -> None:
    sign_in(page, pair, ALICE)
    page.context.clear_cookies(name="sp_session")
    page.goto(pair.sp.url + DEEP_LINK)
    expect_in(page, pair, ALICE, DEEP_LINK)


def test_a_wrong_password_shows_the_form_again_and_opens_nothing(page: Page, pair: Pair) -> None:
    open_sign_in_form(page, pair, DEEP_LINK)
    type_password(page, ALICE, "not her password")
    expect(page.get_by_role("alert")).to_contain_text("The e-mail address or the password is wrong.")
    expect(page.get_by_label("E-mail")).to_have_value(ALICE.email)
    expect(page.get_by_label("Password")).to_have_value("")
    assert not any(cookie.get("name") in ("sp_session", "idp_session") for cookie in page.context.cookies())

    type_password(page, ALICE)
    expect_in(page, pair, ALICE, DEEP_LINK)


def test_a_disabled_person_reads_the_same_as_one_with_a_wrong_password(page: Page, pair: Pair) -> None:
    open_sign_in_form(page, pair)
    type_password(page, BOB)
    expect(page.get_by_role("alert")).to_contain_text("The e-mail address or the password is wrong.")


def test_the_session_id_is_new_at_each_sign_in(page: Page, pair: Pair) -> None:
    sign_in(page, pair, ALICE)
    first = cookie_value(page, "sp_session")
    page.goto(f"{pair.sp.url}/sso/start?return_to=/")
    expect_in(page, pair, ALICE)
    assert cookie_value(page, "sp_session") != first


def test_a_sign_in_that_begins_at_the_identity_provider_ends_on_the_page(page: Page, pair: Pair) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page.goto(f"{pair.idp.url}/")
    page.get_by_role("link", name="The gate").click()
    type_password(page, ALICE)
    expect_in(page, pair, ALICE)
    # The first token was unsolicited: it opened no session, and a second one was fetched for this browser.
    assert asked.count("/sso/login/jwt") == 2
    assert asked.count("/sso/start/corporate") == 1


def test_two_tabs_that_sign_in_at_once_each_land_on_their_own_page(page: Page, pair: Pair) -> None:
    other = page.context.new_page()
    open_sign_in_form(page, pair, "/first?tab=1")
    open_sign_in_form(other, pair, "/second?tab=2")
    type_password(page, ALICE)
    expect_in(page, pair, ALICE, "/first?tab=1")
    type_password(other, ALICE)
    expect_in(other, pair, ALICE, "/second?tab=2")


def test_a_tab_that_was_left_at_the_form_goes_on_when_it_is_reloaded(page: Page, pair: Pair) -> None:
    other = page.context.new_page()
    open_sign_in_form(page, pair, "/first?tab=1")
    open_sign_in_form(other, pair, "/second?tab=2")
    type_password(page, ALICE)
    expect_in(page, pair, ALICE, "/first?tab=1")
    other.reload()
    expect_in(other, pair, ALICE, "/second?tab=2")


def test_another_person_may_sign_in_after_the_first_has_left(page: Page, pair: Pair) -> None:
    sign_in(page, pair, ALICE)
    page.goto(f"{pair.sp.url}/logout")
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, pair, MALLORY, "/second")


def test_without_scripts_a_person_signs_in_all_the_same(new_context: NewContext, pair: Pair) -> None:
    page = new_context(java_script_enabled=False).new_page()
    sign_in(page, pair, ALICE, DEEP_LINK)


def test_a_posted_token_leads_to_the_page_with_and_without_scripts(
    start_pair: StartPair, new_context: NewContext
) -> None:
    with start_pair(service={"delivery": "form"}, provider={"deliveries": ["form"]}, people=[ALICE]) as pair:
        sign_in(new_context().new_page(), pair, ALICE, DEEP_LINK)

        page = new_context(java_script_enabled=False).new_page()
        open_sign_in_form(page, pair, DEEP_LINK)
        type_password(page, ALICE)
        page.get_by_role("button", name="Continue to The gate").click()
        expect_in(page, pair, ALICE, DEEP_LINK)


def test_the_identity_provider_is_told_the_page_and_a_nonce_and_nothing_else(page: Page, pair: Pair) -> None:
    open_sign_in_form(page, pair, DEEP_LINK)
    told = parse_qs(urlsplit(page.url).query)
    assert told["return_to"] == [pair.sp.url + DEEP_LINK]
    assert len(told["nonce"][0]) >= 22  # 128 random bits and more
    assert set(told) == {"return_to", "nonce"}


def cookie_value(page: Page, name: str) -> str:
    return next(cookie.get("value", "") for cookie in page.context.cookies() if cookie.get("name") == name)
