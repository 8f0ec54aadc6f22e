"""The live view of the activity log: a rejection appears without a reload, through the real server."""

import urllib.request
from urllib.error import HTTPError

import pytest
from playwright.sync_api import Page, expect

from lab.pair import Pair
from tests.conftest import NewContext
from tests.flows.test_settings_flow import enter_by_local_password

pytestmark = pytest.mark.browser


def be_rejected(pair: Pair, token: str) -> None:
    request = urllib.request.Request(f"{pair.sp.url}/sso/login/jwt?jwt={token}", headers={"Accept": "application/json"})
    with pytest.raises(HTTPError):
        urllib.request.urlopen(request, timeout=30)


def test_a_rejection_appears_while_the_live_view_is_open(page: Page, pair: Pair) -> None:
    enter_by_local_password(page, pair)
    page.goto(f"{pair.sp.url}/settings/activity?live=1&code=token_malformed&last=1h")
    expect(page.get_by_text("Live: waiting for new entries.")).to_be_visible()
    before = page.locator("#lines tr").count()
    be_rejected(pair, "one")
    expect(page.get_by_text("1 new, waiting for more.")).to_be_visible()
    be_rejected(pair, "two")
    expect(page.locator("#lines tr")).to_have_count(before + 2)
    expect(page.locator("#lines tr").first).to_contain_text("token_malformed")


def test_without_scripts_the_refresh_link_shows_it(new_context: NewContext, pair: Pair) -> None:
    page = new_context(java_script_enabled=False).new_page()
    enter_by_local_password(page, pair)
    page.goto(f"{pair.sp.url}/settings/activity?live=1&code=token_malformed&last=1h")
    before = page.locator("#lines tr").count()
    be_rejected(pair, "three")
    page.get_by_role("link", name="Refresh").click()
    expect(page.locator("#lines tr")).to_have_count(min(before + 1, 50))
