"""What people do in a browser, step by step, in the words that stand on the pages."""

from playwright.sync_api import Locator, Page, expect

from lab.cast import Person
from lab.pair import Pair

MOST_STOPS = 30  # on a page: with more, people give up going on by keyboard


def open_sign_in_form(page: Page, pair: Pair, path: str = "/") -> None:
    """Ask the gateway for *path* and wait for the identity provider's form."""
    page.goto(pair.sp.url + path)
    expect(page.get_by_label("Password")).to_be_visible()
    assert page.url.startswith(pair.idp.url)


def type_password(page: Page, person: Person, password: str | None = None) -> None:
    """Fill in the form that asks who you are, and send it."""
    page.get_by_label("E-mail").fill(person.email)
    page.get_by_label("Password").fill(person.password if password is None else password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def sign_in(page: Page, pair: Pair, person: Person, path: str = "/") -> None:
    """Go from the gateway's *path* through the form to that same path."""
    open_sign_in_form(page, pair, path)
    type_password(page, person)
    expect_in(page, pair, person, path)


def expect_in(page: Page, pair: Pair, person: Person, path: str = "/") -> None:
    """Expect the protected page at *path*, with *person* on it."""
    expect(page).to_have_url(pair.sp.url + path)
    expect(page.get_by_role("heading", name=f"You are signed in, {person.name}")).to_be_visible()
    expect(page.get_by_text(person.email, exact=True).first).to_be_visible()


def expect_refusal(page: Page, pair: Pair, code: str) -> None:
    """Expect the gateway's error page with *code*, a reference, and an offer to begin again."""
    expect(page.get_by_role("heading", name="You could not be signed in")).to_be_visible()
    assert page.url.startswith(f"{pair.sp.url}/access/jwt/error?code={code}&reference=")
    expect(page.get_by_text(code, exact=True)).to_be_visible()
    expect(page.get_by_text("Reference")).to_be_visible()
    expect(page.get_by_role("link", name="Start again")).to_be_visible()


def sign_out(page: Page, pair: Pair) -> None:
    """Sign out at the gateway, which goes on to the identity provider."""
    page.goto(f"{pair.sp.url}/logout")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
    assert page.url.startswith(f"{pair.idp.url}/logout?jwt=")


def press_tab_until_on(page: Page, wanted: Locator) -> None:
    """Go through the page by the keyboard until *wanted* has the focus, as someone without a mouse does."""
    expect(wanted).to_be_visible()
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{MOST_STOPS} presses of the tab key do not reach {wanted}")
