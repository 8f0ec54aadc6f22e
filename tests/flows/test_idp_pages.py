"""The identity provider's pages that only its troubles show, and its forms in front of awkward services."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from lab.cast import ALICE, MALLORY, stranger
from lab.journeys import type_password
from lab.minting import mint, profile_claims
from lab.pair import SERVICE, Pair, Settings, running_pair, table
from lab.scripted_server import answer, scripted_server
from tests.flows.test_pages import TELEPHONE, see

pytestmark = pytest.mark.browser

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
TOO_MANY = 11  # wrong passwords for one account
PAGES = 9


@pytest.fixture(scope="module")
def busy_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A pair whose identity provider knows more services than the gateway, which cannot be told of sign-outs."""
    service = {"backchannel_logout_url": "http://127.0.0.1:9/down"}
    with running_pair(tmp_path_factory.mktemp("busy"), people=[ALICE, MALLORY], service=service) as pair:
        inner = {"preset": "lychgate", "return_url": "http://127.0.0.1:9/", "keys": [], "groups": ["nobody"]}
        add_service(pair, "inner", inner)
        posted = {"preset": "zendesk", "display_name": "Help desk", "return_url": "http://127.0.0.1:9/access/jwt"}
        add_service(pair, "posted", {**posted, "keys": [], "backchannel_logout_url": "http://127.0.0.1:9/"})
        yield pair


def test_every_page_of_trouble_fits_a_telephone_and_passes_the_rules_of_accessibility(
    busy_pair: Pair, page: Page
) -> None:
    seen = []
    for name in pages_of_trouble(page, busy_pair):
        seen.append(name)
        sight = see(page, name)
        assert sight.width <= TELEPHONE["width"], name
        assert not any(sight.violations.values()), (name, sight.violations)
        assert sight.headings == 1, name
    assert len(seen) == PAGES


@pytest.mark.parametrize("delivery", ["redirect", "form"])
def test_a_service_may_lead_on_to_a_further_site_that_it_names(busy_pair: Pair, page: Page, delivery: str) -> None:
    with service_that_leads_on() as (service, further):
        settings = {"preset": "lychgate", "delivery": delivery, "return_url": service, "keys": []}
        add_service(busy_pair, f"by_{delivery}", {**settings, "leads_on_to": [origin(further)]})
        page.goto(f"{busy_pair.idp.url}/login-token/?service=by_{delivery}")
        type_password(page, ALICE)
        expect(page.get_by_role("heading", name="Arrived")).to_be_visible()
        assert page.url == further


def test_a_further_site_that_is_not_named_is_kept_from_the_form_by_the_browser(
    busy_pair: Pair, browser: Browser
) -> None:
    """Chromium holds form-action against every redirect that follows a form: this is why it has to be named."""
    with service_that_leads_on() as (service, _further), browser.new_context() as unwatched:
        add_service(busy_pair, "by_stealth", {"preset": "lychgate", "return_url": service, "keys": []})
        page = unwatched.new_page()
        page.goto(f"{busy_pair.idp.url}/login-token/?service=by_stealth")
        with page.expect_console_message(lambda message: "form-action" in message.text):
            type_password(page, ALICE)
        assert page.url.startswith(busy_pair.idp.url)


@pytest.mark.parametrize("parameter", ["submit", "action", "method"])
def test_a_token_parameter_may_have_a_name_that_browsers_use_themselves(
    busy_pair: Pair, page: Page, parameter: str
) -> None:
    with scripted_server(answer("<h1>Arrived</h1>", Content_Type="text/html")) as service:
        settings = {"delivery": "form", "token_parameter": parameter, "return_url": service.url, "keys": []}
        add_service(busy_pair, f"named_{parameter}", {"preset": "lychgate", **settings})
        page.goto(f"{busy_pair.idp.url}/login-token/?service=named_{parameter}")
        type_password(page, ALICE)
        expect(page.get_by_role("heading", name="Arrived")).to_be_visible()


def pages_of_trouble(page: Page, pair: Pair) -> Iterator[str]:
    """Go from page to page; yield the name of each while it is open."""
    form = f"{pair.idp.url}/login-token/?service={SERVICE}"
    page.goto(f"{pair.idp.url}/login-token/")
    expect(page.get_by_role("heading", name="Which service?")).to_be_visible()
    yield "which service"
    page.goto(f"{pair.idp.url}/login-token/?service=elsewhere")
    yield "unknown service"
    page.goto(form)
    nobody = stranger()
    for _ in range(TOO_MANY):
        type_password(page, nobody)
    expect(page.get_by_role("alert")).to_contain_text("too many wrong passwords. Wait 15 minutes")
    yield "throttled"
    page.context.clear_cookies(name="idp_form")
    page.get_by_role("button", name="Sign in").click()
    yield "expired form"
    page.goto(f"{pair.idp.url}/login-token/?service=inner")
    type_password(page, MALLORY)
    expect(page.get_by_role("heading", name="You do not have access to")).to_be_visible()
    yield "denied"
    page.goto(f"{pair.idp.url}/logout?jwt={sign_out_token(pair, ALICE.email)}")
    expect(page.get_by_role("heading", name="You are still signed in")).to_be_visible()
    yield "another person"
    page.goto(f"{pair.idp.url}/logout?jwt=abc")
    yield "refused"
    page.route("**/deliver.js", lambda route: route.abort())
    page.goto(f"{pair.idp.url}/login-token/?service=posted")
    expect(page.get_by_role("button", name="Continue to Help desk")).to_be_visible()
    yield "delivery without its script"
    page.goto(f"{pair.idp.url}/logout")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("Some services could not be notified.")).to_be_visible()
    yield "signed out here and not everywhere"


def add_service(pair: Pair, name: str, settings: Settings) -> None:
    file = pair.idp.folder / f"{name}.toml"
    file.write_text(table(f"services.{name}", settings))
    pair.idp_command("services", "apply", str(file))


def sign_out_token(pair: Pair, email: str) -> str:
    claims = profile_claims(MALLORY, issuer=pair.sp.url, audience=pair.idp.url, email=email)
    return mint(claims | {"events": {LOGOUT_EVENT: {}}}, pair.key, {"typ": "logout+jwt", "alg": "HS256"})


@contextmanager
def service_that_leads_on() -> Iterator[tuple[str, str]]:
    """Run a service that redirects people to another site of its owner; yield the URLs of both."""
    with (
        scripted_server(answer("<h1>Arrived</h1>", Content_Type="text/html")) as further,
        scripted_server(answer("", status=303, Location=further.url)) as service,
    ):
        yield service.url, further.url


def origin(address: str) -> str:
    return "/".join(address.split("/")[:3])
