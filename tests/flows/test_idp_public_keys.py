"""Sign-in and sign-out both ways where neither program holds a secret of the other: ES256, keys fetched and given."""

import pytest
from playwright.sync_api import Page, expect

from lab.cast import ALICE
from lab.forging import key_for
from lab.journeys import open_sign_in_form, sign_in, sign_out
from lab.ports import free_port
from tests.conftest import StartPair

pytestmark = pytest.mark.browser


def test_with_public_keys_alone_a_sign_in_and_the_sign_outs_of_both_sides_work(
    page: Page, start_pair: StartPair
) -> None:
    ports = free_port(), free_port()
    gateways_own = key_for("ES256", "the gateway")
    provider = {
        "algorithm": "ES256",
        "jwks_url": f"http://127.0.0.1:{ports[1]}/.well-known/jwks.json",
        "keys": [gateways_own.private_pem],
    }
    service = {"algorithm": "ES256", "keys": [], "logout_keys": [gateways_own.public_pem]}
    with start_pair(people=[ALICE], provider=provider, service=service, ports=ports) as pair:
        sign_in(page, pair, ALICE)
        sign_out(page, pair)
        expect(page.get_by_role("main")).to_contain_text(f"{ALICE.email} is signed out here, as The gate requested.")

        sign_in(page, pair, ALICE, "/again")
        page.goto(f"{pair.idp.url}/logout")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_text("The gate: notified. It ended 1 session.")).to_be_visible()
        open_sign_in_form(page, pair, "/once-more")
