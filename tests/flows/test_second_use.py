"""The same token twice: an innocent habit in the browser that used it, an attack in any other one."""

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from lab.cast import ALICE, MALLORY, Person, stranger
from lab.journeys import expect_in, expect_refusal, open_sign_in_form, sign_in
from lab.minting import mint, profile_claims
from lab.pair import Pair
from tests.conftest import NewContext

pytestmark = pytest.mark.browser

PAGE = "/reports/9?month=11"
NAVIGATION = {"Accept": "text/html"}


def test_a_token_replayed_in_another_browser_is_refused_and_the_page_says_so(
    page: Page, pair: Pair, new_context: NewContext
) -> None:
    token_address = sign_in_and_keep_token(page, pair, ALICE)
    theft = new_context().new_page()
    theft.goto(token_address)
    expect_refusal(theft, pair, "token_replayed")
    expect(theft.get_by_text("This sign-in link has already been used.")).to_be_visible()
    assert session_of(theft.context) is None


def test_a_token_replayed_in_a_browser_that_waits_at_the_form_is_refused(
    page: Page, pair: Pair, new_context: NewContext
) -> None:
    token_address = sign_in_and_keep_token(page, pair, ALICE)
    theft = new_context().new_page()
    open_sign_in_form(theft, pair, PAGE)
    theft.goto(token_address)
    expect(theft.get_by_role("heading", name="You could not be signed in")).to_be_visible()
    assert session_of(theft.context) is None


def test_a_token_replayed_by_another_signed_in_person_leaves_her_who_she_is(
    page: Page, pair: Pair, new_context: NewContext
) -> None:
    token_address = sign_in_and_keep_token(page, pair, ALICE)
    theft = new_context().new_page()
    sign_in(theft, pair, MALLORY)
    theft.goto(token_address)
    expect(theft.get_by_role("heading", name="You could not be signed in")).to_be_visible()
    expect(theft.get_by_role("link", name=f"Continue as {MALLORY.email}")).to_be_visible()
    theft.goto(f"{pair.sp.url}/")
    expect_in(theft, pair, MALLORY)


def test_asking_for_the_tokens_address_again_ends_on_the_page(page: Page, pair: Pair) -> None:
    token_address = sign_in_and_keep_token(page, pair, ALICE)
    session = session_of(page.context)
    for _ in range(2):
        page.goto(token_address)
        expect_in(page, pair, ALICE, PAGE)
    assert session_of(page.context) == session


def test_a_refresh_ends_on_the_page(page: Page, pair: Pair) -> None:
    sign_in(page, pair, ALICE, PAGE)
    page.reload()
    expect_in(page, pair, ALICE, PAGE)


def test_the_back_button_ends_on_the_page(page: Page, pair: Pair) -> None:
    sign_in(page, pair, ALICE, PAGE)
    page.go_back()  # to the form, where the identity provider knows her by now
    expect_in(page, pair, ALICE, PAGE)


def test_the_back_button_ends_on_the_page_though_another_tab_waits_at_the_form(page: Page, pair: Pair) -> None:
    waiting = page.context.new_page()
    open_sign_in_form(waiting, pair, "/other")
    sign_in(page, pair, ALICE, PAGE)
    page.go_back()
    expect_in(page, pair, ALICE, PAGE)


def test_after_sign_out_the_tokens_address_opens_nothing(page: Page, pair: Pair) -> None:
    token_address = sign_in_and_keep_token(page, pair, ALICE)
    page.goto(f"{pair.sp.url}/logout")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
    page.goto(token_address)
    expect_refusal(page, pair, "token_replayed")
    assert session_of(page.context) is None


def test_a_double_click_on_a_link_with_a_token_ends_on_the_page(page: Page, pair: Pair) -> None:
    person = stranger()
    page.goto(f"{pair.idp.url}/healthz")  # any page that may show a link
    token_address = fresh_token_address(page, pair, person)
    page.evaluate("address => { document.body.innerHTML = `<a href='${address}'>go</a>` }", token_address)
    page.get_by_text("go").dblclick()
    expect_in(page, pair, person, PAGE)


def test_tabs_that_send_one_token_at_once_all_end_on_the_page(page: Page, pair: Pair) -> None:
    """The second request may be under way before the first has answered with a cookie."""
    person = stranger()
    tabs = [page, page.context.new_page(), page.context.new_page()]
    for tab in tabs:
        tab.goto(f"{pair.sp.url}/healthz")
    token_address = fresh_token_address(page, pair, person)
    for tab in tabs:
        tab.evaluate("address => { setTimeout(() => { location = address }, 100) }", token_address)
    for tab in tabs:
        expect_in(tab, pair, person, PAGE)


def test_looking_at_the_tokens_address_with_head_leaves_the_token_to_its_owner(page: Page, pair: Pair) -> None:
    person = stranger()
    token_address = fresh_token_address(page, pair, person)
    assert page.request.head(token_address, max_redirects=0).status == 200
    page.goto(token_address)
    expect_in(page, pair, person, PAGE)


def test_of_browsers_that_race_with_one_token_only_the_one_that_asked_for_it_gets_a_session(
    page: Page, pair: Pair, new_context: NewContext
) -> None:
    token_address = fresh_token_address(page, pair, stranger())
    thieves = [new_context() for _ in range(3)]
    for thief in thieves:
        thief.request.get(f"{pair.sp.url}{PAGE}", headers=NAVIGATION)  # each browser has begun its own sign-in
    cookies = [cookie_header(context, pair) for context in [*thieves, page.context]]
    with ThreadPoolExecutor(4) as at_once:
        opened = list(at_once.map(lambda cookie: opens_session(token_address, cookie), cookies))
    assert opened == [False, False, False, True]


def sign_in_and_keep_token(page: Page, pair: Pair, person: Person) -> str:
    """Sign *person* in and return the URL that contained the token."""
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    sign_in(page, pair, person, PAGE)
    return next(address for address in seen if urlsplit(address).path == "/sso/login/jwt")


def fresh_token_address(page: Page, pair: Pair, person: Person) -> str:
    """Begin a sign-in in the page's browser, and return the URL with an unused token that answers it."""
    started = page.request.get(f"{pair.sp.url}/sso/start", params={"return_to": PAGE}, max_redirects=0)
    nonce = parse_qs(urlsplit(started.headers["location"]).query)["nonce"][0]
    claims = profile_claims(person, issuer=pair.idp.url, audience=pair.sp.url, nonce=nonce)
    return f"{pair.sp.url}/sso/login/jwt?{urlencode({'jwt': mint(claims, pair.key)})}"


def opens_session(token_address: str, cookies: str) -> bool:
    answer = httpx.get(token_address, headers={"Cookie": cookies, **NAVIGATION}, trust_env=False)
    return any(value.startswith("sp_session=") for value in answer.headers.get_list("set-cookie"))


def cookie_header(context: BrowserContext, pair: Pair) -> str:
    return "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in context.cookies(pair.sp.url))


def session_of(context: BrowserContext) -> str | None:
    return next((cookie["value"] for cookie in context.cookies() if cookie["name"] == "sp_session"), None)
