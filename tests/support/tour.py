"""Visit every page that a person can see, for tests of all pages and for pictures of them."""

from collections.abc import Iterator

from playwright.sync_api import Page, expect

from lab.cast import ALICE, CAROL, MALLORY
from lab.journeys import open_sign_in_form, sign_in, type_password
from lab.pair import PROVIDER, Pair

LONG_PATH = "/courses/seventeen/" + "a-part-that-is-longer-than-a-telephone-is-wide/" * 2
PUBLIC_PATH, ADMINISTRATORS_PATH = "/public/notice", "/vault/keys"
RULES = (
    {"path": PUBLIC_PATH, "allow": "anyone"},
    {"path": "/vault/", "allow": {"groups": ["admins"]}},
)
REFUSALS = ("token_replayed", "cookies_blocked", "user_unknown", "store_unavailable")
SETTINGS_PAGES = {
    "overview": "/settings",
    "providers": "/settings/sso/jwt",
    "presets": "/settings/sso/jwt/new",
    "new-provider": "/settings/sso/jwt/new?preset=ispring",
    "provider-of-the-file": f"/settings/sso/jwt/provider/{PROVIDER}",
    "provider-to-disable": f"/settings/sso/jwt/provider/{PROVIDER}/disable",
    "changes": "/settings/sso/jwt/changes",
    "accounts": "/settings/users",
    "account-of-somebody": "/settings/users/1",
    "activity-live": "/settings/activity?live=1",
    "activity-nothing-found": "/settings/activity?email=nobody-of-this-name&last=1h",
    "rules": "/settings/policy",
    "rules-who-may": "/settings/policy?who=groups&groups=staff&method=GET&url=/vault/keys",
    "rules-wrong-url": "/settings/policy?who=nobody&method=GET&url=https://elsewhere.example/",
    "activity": "/settings/activity",
}


def tour(page: Page, pair: Pair) -> Iterator[str]:
    """Go from page to page in a fresh browser; yield the name of each while it is open."""
    yield from strangers_pages(page, pair)
    yield from persons_pages(page, pair)
    yield from administrators_pages(page, pair)


def strangers_pages(page: Page, pair: Pair) -> Iterator[str]:
    """The pages before anyone is known."""
    page.goto(f"{pair.idp.url}/")
    yield "idp-services"
    page.goto(f"{pair.sp.url}{PUBLIC_PATH}")
    yield "sp-welcome-nobody"
    page.goto(f"{pair.idp.url}/logout")
    yield "idp-nobody-signed-in"
    page.goto(f"{pair.idp.url}/no-such-page")
    yield "idp-not-found"
    page.goto(f"{pair.idp.url}/logout?jwt=abc")
    yield "idp-sign-out-refused"
    page.goto(f"{pair.sp.url}/login?no_sso")
    yield "sp-local-form"
    type_password(page, CAROL, "wrong")
    expect(page.get_by_text("is wrong")).to_be_visible()
    yield "sp-local-form-wrong"
    page.goto(f"{pair.sp.url}/sso/choose?return_to=/courses")
    yield "sp-choice"
    page.goto(f"{pair.sp.url}/logout")
    yield "sp-signed-out"
    for code in REFUSALS:
        page.goto(f"{pair.sp.url}/access/jwt/error?code={code}&reference=K7WQ2MX9PA")
        yield f"sp-refused-{code}"
    page.goto(f"{pair.sp.url}/sso/no-such-page")
    yield "sp-not-found"
    open_sign_in_form(page, pair, LONG_PATH)
    yield "idp-sign-in"
    type_password(page, ALICE, "wrong")
    expect(page.get_by_role("alert")).to_be_visible()
    yield "idp-sign-in-wrong"


def persons_pages(page: Page, pair: Pair) -> Iterator[str]:
    """The pages of a person who is signed in, and the sign-out."""
    sign_in(page, pair, ALICE, LONG_PATH)
    yield "sp-welcome"
    page.goto(f"{pair.sp.url}/account")
    yield "sp-account"
    page.goto(f"{pair.sp.url}/access/jwt/error?code=token_replayed&reference=K7WQ2MX9PA")
    yield "sp-refused-but-signed-in"
    page.goto(f"{pair.sp.url}{ADMINISTRATORS_PATH}")
    yield "sp-not-allowed"
    page.goto(f"{pair.sp.url}/settings/users")
    yield "sp-settings-not-allowed"
    page.goto(f"{pair.idp.url}/")
    yield "idp-services-signed-in"
    page.goto(f"{pair.idp.url}/logout")
    yield "idp-sign-out"
    page.goto(f"{pair.sp.url}/logout")
    yield "sp-sign-out"
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
    yield "idp-signed-out"
    sign_in(page, pair, MALLORY)
    page.goto(f"{pair.sp.url}/logout")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Signed out")).to_be_visible()


def administrators_pages(page: Page, pair: Pair) -> Iterator[str]:
    """The pages of Carol, who signs in with a local password."""
    page.goto(f"{pair.sp.url}/login?no_sso")
    type_password(page, CAROL)
    expect(page.get_by_role("heading", name="You are signed in")).to_be_visible()
    yield "sp-welcome-local"
    for name, path in SETTINGS_PAGES.items():
        page.goto(f"{pair.sp.url}{path}")
        yield f"sp-{name}"
    page.locator("td a code").first.click()
    yield "sp-activity-line"
    page.goto(f"{pair.sp.url}/settings/sso/jwt/new?preset=strict")
    page.get_by_label("Provider name").fill("9 lives")
    page.get_by_role("button", name="Create", exact=True).last.click()
    expect(page.get_by_text("Nothing was saved.")).to_be_visible()
    yield "sp-new-provider-with-mistakes"
    yield from pages_of_a_new_provider(page, pair)
    page.goto(f"{pair.sp.url}/settings/sso/jwt/provider/{PROVIDER}/try")
    type_password(page, ALICE)
    expect(page.get_by_role("heading", name="Result of the test sign-in")).to_be_visible()
    yield "sp-trial"


def pages_of_a_new_provider(page: Page, pair: Pair) -> Iterator[str]:
    """The page of its key, its own page, the question before a key is retired, and its end."""
    page.goto(f"{pair.sp.url}/settings/sso/jwt/new?preset=ispring")
    page.get_by_label("Provider name").fill("visited")
    page.get_by_role("button", name="Create", exact=True).last.click()
    expect(page.get_by_role("heading", name="The provider visited was created")).to_be_visible()
    for language in page.locator("#code summary").all():
        language.click()
    yield "sp-new-key"
    page.get_by_role("link", name="To the settings").click()
    for group in page.locator("details.fold summary").all():
        group.click()
    yield "sp-provider-unfolded"
    page.get_by_role("button", name="+ Add a field").click()
    yield "sp-provider-with-a-new-field"
    page.get_by_role("button", name="Retire").click()
    yield "sp-retire-the-last-key"
    page.goto(f"{pair.sp.url}/settings/users/1")
    page.get_by_role("button", name="Make administrator").or_(page.get_by_role("button", name="Take")).first.click()
    yield "sp-appoint-or-dismiss"
    pair.sp_command("providers", "remove", "visited")
