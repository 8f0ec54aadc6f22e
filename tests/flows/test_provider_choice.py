"""A person with several providers to choose from, in a browser: by a button, by an e-mail address, without scripts."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from lab.cast import ALICE
from lab.journeys import type_password
from lab.pair import PROVIDER, table
from lab.ports import free_port
from tests.conftest import NewContext, StartPair

pytestmark = pytest.mark.browser

PAGE = "/courses/17?tab=2"


def test_a_person_chooses_once_by_a_button_or_by_an_email(
    start_pair: StartPair, new_context: NewContext, tmp_path: Path
) -> None:
    gateway, idp = free_port(), free_port()
    with start_pair(
        ports=(gateway, idp),
        provider={"default": False, "display_name": "Staff", "email_domains": ["example.com"]},
        service={"return_url": f"http://127.0.0.1:{gateway}/sso/login/jwt/{PROVIDER}"},
        sp_env={"SP_SESSION_CACHE": "0"},
    ) as pair:
        file = tmp_path / "partners.toml"
        partners = {"display_name": "Partners", "keys": ["p" * 48], "login_url": f"http://localhost:{idp}/elsewhere"}
        file.write_text(table("providers.partners", partners))
        pair.sp_command("providers", "apply", str(file))
        deep_link = pair.sp.url + PAGE

        page = new_context(java_script_enabled=False).new_page()
        page.goto(deep_link)
        expect(page.get_by_role("link", name="Partners")).to_be_visible()
        page.get_by_role("link", name="Staff").press("Enter")
        is_signed_in_at(page, deep_link)
        page.context.clear_cookies(name="sp_session")
        page.goto(deep_link)  # the choice is remembered, and so is she at her provider
        expect(page).to_have_url(deep_link)

        page.goto(f"{pair.sp.url}/logout")
        page.get_by_role("button", name="Sign out").click()
        page.goto(f"{pair.sp.url}/logout")
        page.get_by_role("link", name="Use another sign-in").click()
        expect(page.get_by_role("heading", name="Choose how to sign in")).to_be_visible()

        page = new_context().new_page()
        page.goto(deep_link)
        page.get_by_label("E-mail address").fill("someone@elsewhere.example")
        page.get_by_label("E-mail address").press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("No sign-in is known")
        page.get_by_label("E-mail address").fill(ALICE.email)
        page.get_by_role("button", name="Continue").click()
        is_signed_in_at(page, deep_link)


def is_signed_in_at(page: Page, url: str) -> None:
    type_password(page, ALICE)
    expect(page).to_have_url(url)
