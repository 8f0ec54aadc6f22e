"""Signing out, wherever it begins, and what is left afterwards."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from playwright.sync_api import Page, expect

from lab.cast import ALICE, MALLORY
from lab.journeys import expect_in, open_sign_in_form, sign_in, sign_out
from lab.pair import Pair
from lab.ports import free_port
from tests.conftest import NewContext, StartPair

pytestmark = pytest.mark.browser


def test_signing_out_at_the_gateway_travels_to_the_identity_provider_whose_page_names_the_address(
    page: Page, pair: Pair
) -> None:
    sign_in(page, pair, ALICE)
    page.get_by_role("link", name="Sign out").first.click()
    expect(page.get_by_role("heading", name="Sign out?")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
    assert page.url.startswith(f"{pair.idp.url}/logout?jwt=")
    expect(page.get_by_role("main")).to_contain_text(f"{ALICE.email} is signed out here, as The gate requested.")


def test_with_the_keys_that_the_guide_recommends_a_person_is_asked_once(start_pair: StartPair, page: Page) -> None:
    """docs/guides/gateway.md: tokens signed with ES256 and read from the JWKS, sign-outs signed with a separate key."""
    sign_out_key = ec.generate_private_key(ec.SECP256R1())
    private = sign_out_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = sign_out_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    ports = free_port(), free_port()
    provider = {
        "algorithm": "ES256",
        "keys": [private],
        "jwks_url": f"http://127.0.0.1:{ports[1]}/.well-known/jwks.json",
    }
    service = {"algorithm": "ES256", "keys": [], "logout_keys": [public]}
    with start_pair(ports=ports, provider=provider, service=service, people=[ALICE]) as pair:
        sign_in(page, pair, ALICE)
        page.goto(f"{pair.sp.url}/logout")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
        expect(page.get_by_role("main")).to_contain_text(f"{ALICE.email} is signed out here, as The gate requested.")
        page.goto(f"{pair.idp.url}/")
        expect(page.get_by_text("You are not signed in.")).to_be_visible()


def test_signing_out_at_the_identity_provider_ends_the_session_at_the_gateway(page: Page, pair: Pair) -> None:
    sign_in(page, pair, ALICE)
    page.goto(f"{pair.idp.url}/logout")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text(f"{ALICE.email} is signed out here.")
    expect(page.get_by_role("listitem")).to_have_text(["The gate: notified. It ended 1 session."])
    open_sign_in_form(page, pair, "/afterwards")


def test_after_signing_out_both_programs_ask_again(page: Page, pair: Pair) -> None:
    sign_in(page, pair, ALICE)
    sign_out(page, pair)
    page.goto(f"{pair.idp.url}/")
    expect(page.get_by_text("You are not signed in.")).to_be_visible()
    open_sign_in_form(page, pair, "/once-more")


def test_signing_out_does_not_sign_straight_in_again(page: Page, pair: Pair) -> None:
    sign_in(page, pair, ALICE)
    sign_out(page, pair)
    page.get_by_role("link", name="Back to The gate").click()
    expect(page.get_by_label("Password")).to_be_visible()
    page.goto(f"{pair.sp.url}/logout")
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()


def test_the_session_ends_on_the_server_not_only_in_the_browser(page: Page, pair: Pair) -> None:
    sign_in(page, pair, ALICE)
    kept = page.context.cookies(pair.sp.url)
    sign_out(page, pair)
    page.context.add_cookies([cookie for cookie in kept if cookie["name"] == "sp_session"])  # type: ignore[misc]
    open_sign_in_form(page, pair, "/with-the-old-cookie")


def test_a_link_alone_signs_nobody_out(page: Page, pair: Pair) -> None:
    sign_in(page, pair, ALICE)
    page.goto(f"{pair.sp.url}/logout")
    page.goto(f"{pair.sp.url}/")
    expect_in(page, pair, ALICE)


def test_a_form_of_another_site_signs_nobody_out(page: Page, pair: Pair) -> None:
    sign_in(page, pair, ALICE)
    page.goto("about:blank")
    page.set_content(f'<form method="post" action="{pair.sp.url}/logout"><button>win a prize</button></form>')
    page.get_by_role("button").click()
    expect(page.get_by_role("heading", name="Sign out?")).to_be_visible()
    page.goto(f"{pair.sp.url}/")
    expect_in(page, pair, ALICE)


def test_signing_out_leaves_other_browsers_and_other_people_signed_in(
    page: Page, pair: Pair, new_context: NewContext
) -> None:
    elsewhere, neighbour = new_context().new_page(), new_context().new_page()
    sign_in(elsewhere, pair, ALICE)
    sign_in(neighbour, pair, MALLORY)
    sign_in(page, pair, ALICE)
    sign_out(page, pair)
    for other, person in ((elsewhere, ALICE), (neighbour, MALLORY)):
        other.goto(f"{pair.sp.url}/still")
        expect_in(other, pair, person, "/still")


def test_a_session_can_be_ended_from_another_browser_of_the_same_person(
    page: Page, pair: Pair, new_context: NewContext
) -> None:
    elsewhere = new_context(user_agent="LostTelephone").new_page()
    sign_in(elsewhere, pair, ALICE)
    sign_in(page, pair, ALICE)
    page.goto(f"{pair.sp.url}/account")
    page.get_by_role("listitem").filter(has_text="LostTelephone").first.get_by_role("button", name="End").click()
    expect(page.get_by_role("status")).to_have_text("The session has ended.")
    elsewhere.context.clear_cookies(name="idp_session")
    open_sign_in_form(elsewhere, pair, "/from-the-telephone")


def test_a_tampered_sign_out_token_signs_nobody_out(page: Page, pair: Pair) -> None:
    sign_in(page, pair, ALICE)
    answer = page.goto(f"{pair.idp.url}/logout?jwt=eyJhbGciOiJub25lIn0.eyJlbWFpbCI6ImFsaWNlQGV4YW1wbGUuY29tIn0.")
    assert answer is not None
    assert answer.status == 401
    expect(page.get_by_role("heading", name="This sign-out link is not valid")).to_be_visible()
    expect(page.get_by_text(f"You are still signed in as {ALICE.email}")).to_be_visible()


def test_a_sign_out_token_of_the_gateway_never_signs_anyone_in(page: Page, pair: Pair) -> None:
    sign_in(page, pair, ALICE)
    sign_out(page, pair)
    token = page.url.partition("jwt=")[2]
    page.goto(f"{pair.sp.url}/sso/login/jwt?jwt={token}")
    expect(page.get_by_text("token_type_wrong")).to_be_visible()
