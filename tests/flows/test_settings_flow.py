"""The life of a provider, as its administrator has it in a browser: from the preset to the switch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, ViewportSize, expect

from lab.cast import ALICE, CAROL, MALLORY
from lab.journeys import expect_refusal, type_password
from lab.pair import Pair, table
from tests.conftest import NewContext

pytestmark = pytest.mark.browser

NARROW, WIDE = ViewportSize(width=375, height=800), ViewportSize(width=1280, height=900)
PAGES = (
    "/settings/sso/jwt",
    "/settings/sso/jwt/new",
    "/settings/sso/jwt/new?preset=strict",
    "/settings/sso/jwt/provider/learn",
    "/settings/sso/jwt/provider/corporate",
    "/settings/sso/jwt/provider/learn/remove",
    "/settings/sso/jwt/changes",
    "/settings/users",
    "/settings/users/1",
    "/settings/activity",
)


def test_a_provider_is_created_matched_tried_rotated_disabled_and_the_local_password_still_works(
    page: Page, own_pair: Pair, new_context: NewContext, tmp_path: Path
) -> None:
    pair = own_pair
    enter_by_local_password(page, pair)

    key = create_a_provider(page, pair)
    serve(pair, tmp_path, [key])
    match_a_field(page)
    alices = new_context()
    try_it_out(page, pair)
    assert is_signed_in_as_carol(page, pair)
    assert "alice" not in pair.sp_command("users", "list").stdout

    sign_alice_in(alices.new_page(), pair)
    with signing_in_all_the_time(alices, pair) as sign_ins:
        sign_ins.wait_for(5)
        new_key = generate_a_second_key(page, pair)
        sign_ins.wait_for(5)
        serve(pair, tmp_path, [new_key, key])
        see_it_used(page, pair, sign_ins)
        retire_the_first(page, pair)
        sign_ins.wait_for(10)
    assert sign_ins.refused == []
    assert sign_ins.done >= 20

    disable(page, pair)
    refused = new_context().new_page()
    refused.goto(f"{pair.sp.url}/sso/start/learn")
    expect_refusal(refused, pair, "provider_disabled")

    page.goto(f"{pair.sp.url}/logout")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    enter_by_local_password(page, pair)


@pytest.fixture
def shared_pair(pair: Pair) -> Iterator[Pair]:
    """The pair of all tests, which afterwards is as it was before."""
    yield pair
    pair.sp_command("providers", "remove", "learn", check=False)


def test_the_settings_work_without_javascript(new_context: NewContext, shared_pair: Pair) -> None:
    page = new_context(java_script_enabled=False).new_page()
    enter_by_local_password(page, shared_pair)
    create_a_provider(page, shared_pair)
    match_a_field(page)
    page.goto(f"{shared_pair.sp.url}/settings/sso/jwt/provider/corporate")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Test a sign-in").click()
    expect(opened.value.get_by_label("Password")).to_be_visible()
    assert opened.value.url.startswith(shared_pair.idp.url)


def test_no_settings_page_is_wider_than_the_window(shared_pair: Pair, new_context: NewContext) -> None:
    page = new_context().new_page()
    enter_by_local_password(page, shared_pair)
    create_a_provider(page, shared_pair)
    for size in (NARROW, WIDE):
        page.set_viewport_size(size)
        for path in PAGES:
            page.goto(shared_pair.sp.url + path)
            wide, room = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            assert wide <= room, f"{path}: {wide} of {room}"


def test_a_person_who_is_no_administrator_sees_no_settings(page: Page, pair: Pair) -> None:
    page.goto(f"{pair.sp.url}/account")
    type_password(page, MALLORY)
    expect(page.get_by_role("heading", name=MALLORY.name)).to_be_visible()
    expect(page.get_by_role("link", name="Providers")).to_have_count(0)
    for path in ("/settings", "/settings/sso/jwt", "/settings/users", "/settings/activity"):
        answer = page.goto(pair.sp.url + path)
        assert answer is not None
        assert answer.status == 403
        expect(page.get_by_text("This page is for administrators.")).to_be_visible()


# What Carol does


def enter_by_local_password(page: Page, pair: Pair) -> None:
    page.goto(f"{pair.sp.url}/login?no_sso")
    type_password(page, CAROL)
    expect(page.get_by_role("heading", name="You are signed in")).to_be_visible()


def create_a_provider(page: Page, pair: Pair) -> str:
    """Create the provider "learn" from a preset; return the key that is shown once. Ends on the provider's page."""
    page.goto(f"{pair.sp.url}/settings/sso/jwt")
    page.get_by_role("link", name="Create a provider").click()
    page.get_by_role("link", name="Start with iSpring Learn").click()
    page.get_by_label("Provider name").fill("Learn")
    page.get_by_role("heading", name="On the sign-in page").click()
    page.get_by_label("Display name").fill("Learning portal")
    page.get_by_label("Identity provider URL").fill(f"{pair.idp.url}/login-token/?service=learn")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("heading", name="The provider Learning portal was created")).to_be_visible()
    key = page.get_by_label("Security key").input_value()
    assert len(key) >= 64
    page.get_by_role("link", name="To the settings").click()
    expect(page.get_by_role("heading", name="Learning portal")).to_be_visible()
    assert key not in page.content()
    assert page.get_by_label("Return URL", exact=True).input_value() == f"{pair.sp.url}/sso/login/jwt/learn"
    return key


def match_a_field(page: Page) -> None:
    rows = page.locator("#field-matching .matching-row")
    before = rows.count()
    page.get_by_role("button", name="Add a field").click()
    expect(rows).to_have_count(before + 1)
    page.get_by_label(f"Field here, row {before + 1}").fill("nickname")
    page.get_by_label(f"Claims of the token, row {before + 1}").fill("given_name")
    page.get_by_role("button", name="Save", exact=True).last.click()
    expect(page.get_by_text("The settings of Learning portal were saved.")).to_be_visible()
    expect(page.get_by_label("nickname")).to_have_value("given_name")


def try_it_out(page: Page, pair: Pair) -> None:
    """Test a sign-in in a second window, as Alice, and read the report."""
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Test a sign-in").click()
    window = opened.value
    type_password(window, ALICE)
    expect(window.get_by_role("heading", name="Result of the test sign-in")).to_be_visible()
    assert window.url.startswith(f"{pair.sp.url}/settings/sso/jwt/trial/")
    expect(window.get_by_text("This sign-in would succeed.")).to_be_visible()
    expect(window.get_by_text(f"A new account would be created for {ALICE.email}.")).to_be_visible()
    expect(window.get_by_role("row", name="nickname given_name Alice")).to_be_visible()
    expect(window.get_by_role("row", name="groups groups not in the token; this field is optional")).to_be_visible()
    window.close()


def is_signed_in_as_carol(page: Page, pair: Pair) -> bool:
    page.goto(f"{pair.sp.url}/account")
    return page.get_by_role("heading", name=CAROL.email).is_visible()


def generate_a_second_key(page: Page, pair: Pair) -> str:
    page.goto(f"{pair.sp.url}/settings/sso/jwt/provider/learn")
    page.get_by_role("button", name="Generate a second key").click()
    expect(page.get_by_role("heading", name="New key for Learning portal")).to_be_visible()
    return page.get_by_label("Security key").input_value()


def see_it_used(page: Page, pair: Pair, sign_ins: SignIns) -> None:
    """Wait until the list says that both keys were used."""
    for _ in range(20):
        sign_ins.wait_for(2)
        page.goto(f"{pair.sp.url}/settings/sso/jwt/provider/learn")
        if page.locator("#key-list").get_by_text("not used yet").count() == 0:
            return
    raise AssertionError("the new key was never used")


def retire_the_first(page: Page, pair: Pair) -> None:
    page.locator("#key-list").get_by_role("button", name="Retire").first.click()
    expect(page.get_by_role("heading", name="Retire this key?")).to_be_visible()
    page.get_by_role("button", name="Retire it").click()
    expect(page.get_by_text("The key was retired.")).to_be_visible()
    expect(page.locator("#key-list .session-row")).to_have_count(1)


def disable(page: Page, pair: Pair) -> None:
    page.goto(f"{pair.sp.url}/settings/sso/jwt/provider/learn")
    page.get_by_role("link", name="Disable").click()
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_text("Learning portal is disabled.")).to_be_visible()


# What happens meanwhile


def serve(pair: Pair, folder: Path, keys: Sequence[str]) -> None:
    """Have the identity provider sign people in to the provider "learn", with the first of *keys*."""
    service = {"preset": "ispring", "return_url": f"{pair.sp.url}/sso/login/jwt/learn", "keys": list(keys)}
    file = folder / "learn.toml"
    file.write_text(table("services.learn", service))
    pair.idp_command("services", "apply", str(file))


def sign_alice_in(page: Page, pair: Pair) -> None:
    page.goto(f"{pair.sp.url}/sso/start/learn?return_to=/lessons")
    type_password(page, ALICE)
    expect(page.get_by_role("heading", name=f"You are signed in, {ALICE.name}")).to_be_visible()
    expect(page.get_by_text("nickname")).to_be_visible()


class SignIns:
    """Alice, who signs in again and again, each time in a browser that the gateway does not know."""

    def __init__(self, cookies: dict[str, str], pair: Pair) -> None:
        self.done = 0
        self.refused: list[str] = []
        self.stop = Event()
        self._cookies, self._pair = cookies, pair
        self._one_more = Event()

    def run(self) -> None:
        while not self.stop.is_set():
            with httpx.Client(cookies=self._cookies, follow_redirects=True, timeout=30) as client:
                answer = client.get(f"{self._pair.sp.url}/sso/start/learn?return_to=/lessons")
            if answer.status_code == 200 and answer.url.path == "/lessons":
                self.done += 1
            else:
                self.refused.append(f"{answer.status_code} {answer.url}")
            self._one_more.set()

    def wait_for(self, more: int) -> None:
        """Wait until so many further sign-ins are over."""
        for _ in range(more):
            self._one_more.clear()
            assert self._one_more.wait(30)


@contextmanager
def signing_in_all_the_time(context: BrowserContext, pair: Pair) -> Iterator[SignIns]:
    """Sign Alice in again and again during the test, with her session at the identity provider."""
    cookies = {cookie["name"]: cookie["value"] for cookie in context.cookies(pair.idp.url) if "idp" in cookie["name"]}
    sign_ins = SignIns(cookies, pair)
    thread = Thread(target=sign_ins.run)
    thread.start()
    try:
        yield sign_ins
    finally:
        sign_ins.stop.set()
        thread.join()
