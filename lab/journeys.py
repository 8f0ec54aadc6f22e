"""Perform people's actions in a browser step by step, and find fields and buttons by their text."""

from playwright.sync_api import Locator, Page, expect

from lab.cast import Person
from lab.pair import Pair

MOST_STOPS = 30  # presses of the tab key on one page; with more, the page is too tedious to use by keyboard


def open_sign_in_form(page: Page, pair: Pair, path: str = "/") -> None:
    """Open *path* of the gateway, and wait for the identity provider's form."""
    page.goto(pair.sp.url + path)
    expect(page.get_by_label("Password")).to_be_visible()
    assert page.url.startswith(pair.idp.url)


def type_password(page: Page, person: Person, password: str | None = None) -> None:
    """Fill in the sign-in form and send it."""
    page.get_by_label("E-mail").fill(person.email)
    page.get_by_label("Password").fill(person.password if password is None else password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def sign_in(page: Page, pair: Pair, person: Person, path: str = "/") -> None:
    """Open the gateway's *path*, sign in through the form, and expect to return to the same path."""
    open_sign_in_form(page, pair, path)
    type_password(page, person)
    expect_in(page, pair, person, path)


def expect_in(page: Page, pair: Pair, person: Person, path: str = "/") -> None:
    """Expect the protected page at *path*, with *person* on it."""
    expect(page).to_have_url(pair.sp.url + path)
    expect(page.get_by_role("heading", name=f"You are signed in, {person.name}")).to_be_visible()
    expect(page.get_by_text(person.email, exact=True).first).to_be_visible()


def expect_refusal(page: Page, pair: Pair, code: str) -> None:
    """Expect the gateway's error page with *code*, a reference, and a link to start again."""
    expect(page.get_by_role("heading", name="You could not be signed in")).to_be_visible()
    assert page.url.startswith(f"{pair.sp.url}/access/jwt/error?code={code}&reference=")
    expect(page.get_by_text(code, exact=True)).to_be_visible()
    expect(page.get_by_text("Reference")).to_be_visible()
    expect(page.get_by_role("link", name="Start again")).to_be_visible()


def sign_out(page: Page, pair: Pair) -> None:
    """Sign out at the gateway, which redirects to the identity provider."""
    page.goto(f"{pair.sp.url}/logout")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
    assert page.url.startswith(f"{pair.idp.url}/logout?jwt=")


def press_tab_until_on(page: Page, wanted: Locator) -> None:
    """Press the tab key until *wanted* has the focus, as a keyboard user does."""
    expect(wanted).to_be_visible()
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{MOST_STOPS} presses of the tab key did not reach {wanted}")
