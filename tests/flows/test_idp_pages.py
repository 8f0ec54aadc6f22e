"""The identity provider's pages that only its own troubles show, and its forms in front of services that are awkward."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.conftest import NewContext, StartPair
from tests.support.cast import ALICE, MALLORY, stranger
from tests.support.journeys import type_password
from tests.support.minting import mint, profile_claims
from tests.support.pair import SERVICE, Pair, table
from tests.support.scripted_server import answer, scripted_server

pytestmark = pytest.mark.browser

DESKTOP, TELEPHONE = {"width": 1280, "height": 800}, {"width": 320, "height": 640}
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
TOO_MANY = 11  # wrong passwords for one account
PAGES = 9


def test_every_page_of_trouble_fits_a_telephone_and_passes_the_rules_of_accessibility(
    start_pair: StartPair, new_context: NewContext
) -> None:
    with start_pair(people=[ALICE, MALLORY], service={"backchannel_logout_url": "http://127.0.0.1:9/down"}) as pair:
        add_services(pair)
        page = new_context().new_page()
        axe, seen = Axe(), []
        for name in pages_of_trouble(page, pair):
            seen.append(name)
            page.set_viewport_size(TELEPHONE)  # type: ignore[arg-type]
            assert page.evaluate("document.documentElement.scrollWidth") <= TELEPHONE["width"], name
            page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
            assert [rule["id"] for rule in axe.run(page).response["violations"]] == [], name
            assert page.get_by_role("heading", level=1).count() == 1, name
        assert len(seen) == PAGES


@pytest.mark.parametrize("delivery", ["redirect", "form"])
@pytest.mark.parametrize("allowed", [True, False], ids=["that is named", "that is not"])
def test_a_service_may_lead_on_to_a_further_site(
    start_pair: StartPair, page: Page, delivery: str, allowed: bool
) -> None:
    """Chromium holds form-action against every redirect that follows a form."""
    page.context.on("console", lambda _message: None)
    with further_site() as (service, further):
        settings = {"delivery": delivery, "return_url": f"{service}/sso", "leads_on_to": [further] if allowed else []}
        with start_pair(people=[ALICE], service=settings) as pair:
            page.goto(f"{pair.idp.url}/login-token/")
            type_password(page, ALICE)
            if allowed:
                expect(page.get_by_role("heading", name="Arrived")).to_be_visible()
                assert page.url.startswith(further)
