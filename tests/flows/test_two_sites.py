"""The pair as it is deployed: two sites of two owners, https, a proxy in front, and a browser that keeps them apart.

On one host every cookie travels everywhere, so SameSite, Secure and `__Host-` are tried here, where they bite.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from lab.browser import Chromium
from lab.cast import ALICE, MALLORY
from lab.journeys import (
    expect_in,
    open_sign_in_form,
    press_tab_until_on,
    sign_in,
    sign_out,
    type_password,
)
from lab.minting import mint, profile_claims
from lab.pair import Pair, running_pair
from lab.ports import free_port
from tests.conftest import BROWSER_WAIT_MS
from tests.support.tls import Certificate, browser_arguments, find_nginx, make_certificate, terminating_tls
from tests.support.watch import Watch

pytestmark = pytest.mark.browser

IDP, SP = "idp.example-one.test", "sp.example-two.test"
EVIL = "https://evil.example-three.test"
DEEP_LINK = "/courses/17/lesson?chapter=3&note=a%26b%20c#part-2"
SESSION, PENDING, LANDED = "__Host-sp_session", "__Host-sp_pending_", "__Host-sp_landed"

Visit = Callable[..., Page]


@dataclass(frozen=True)
class Grounds:
    """Where sites can be put up."""

    nginx: str
    certificate: Certificate
    folder: Path


@pytest.fixture(scope="module")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> Grounds:
    """The machine's nginx, and a certificate for all sites."""
    nginx = find_nginx()
    if nginx is None:
        pytest.skip("no nginx on this machine; tools/system-packages installs it")
    folder = tmp_path_factory.mktemp("two-sites")
    return Grounds(nginx, make_certificate(folder, [IDP, SP, "127.0.0.1"]), folder)


@pytest.fixture(scope="module")
def start_sites(grounds: Grounds) -> Iterator[Callable[[str], Pair]]:
    """Return the function that gives the pair which delivers tokens in a certain way, started once."""
    started: dict[str, Pair] = {}
    with ExitStack() as stack:

        def start(delivery: str) -> Pair:
            if delivery not in started:
                started[delivery] = stack.enter_context(running_sites(grounds, delivery))
            return started[delivery]

        yield start


@pytest.fixture(params=["redirect", "form"])
def delivery(request: pytest.FixtureRequest) -> str:
    """The way in which tokens travel."""
    return str(request.param)


@pytest.fixture
def sites(delivery: str, start_sites: Callable[[str], Pair]) -> Pair:
    """A pair on two sites, for each way in which tokens travel."""
    return start_sites(delivery)


@pytest.fixture
def posting_sites(start_sites: Callable[[str], Pair]) -> Pair:
    """A pair on two sites whose tokens travel by form, so that a post from one site to the other signs people in."""
    return start_sites("form")


@pytest.fixture(scope="module")
def far_browser(grounds: Grounds, chromium: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A Chromium that finds the sites and trusts their certificate."""
    home = tmp_path_factory.mktemp("far-browser")
    browser = chromium.launch(home, *browser_arguments(grounds.certificate, [IDP, SP]))
    yield browser
    browser.close()


@pytest.fixture
def visit(far_browser: Browser) -> Iterator[Visit]:
    """Return the function that opens a tab in a browser without a past; every such browser is watched."""
    made: list[tuple[BrowserContext, Watch]] = []

    def make(**options: bool) -> Page:
        context = far_browser.new_context(**options)  # type: ignore[arg-type]  # only switches are given
        context.set_default_timeout(BROWSER_WAIT_MS)
        made.append((context, Watch(context)))
        return context.new_page()

    yield make
    for context, _watch in made:
        context.close()
    for _context, watch in made:
        watch.assert_calm()


@pytest.fixture
def page(visit: Visit) -> Page:
    """A tab in a browser without a past."""
    return visit()


def test_a_deep_link_leads_across_both_sites_and_back(page: Page, sites: Pair) -> None:
    assert urlsplit(sites.idp.url).hostname != urlsplit(sites.sp.url).hostname
    sign_in(page, sites, ALICE, DEEP_LINK)


def test_whoever_is_known_at_the_other_site_sees_no_form(page: Page, sites: Pair) -> None:
    sign_in(page, sites, ALICE)
    page.context.clear_cookies(name=SESSION)
    page.goto(sites.sp.url + DEEP_LINK)
    expect_in(page, sites, ALICE, DEEP_LINK)


def test_a_sign_in_that_begins_at_the_identity_provider_ends_on_the_page(page: Page, sites: Pair) -> None:
    page.goto(f"{sites.idp.url}/")
    page.get_by_role("link", name="The gate").click()
    type_password(page, ALICE)
    expect_in(page, sites, ALICE)


def test_without_scripts_the_deep_link_is_reached_all_the_same(visit: Visit, sites: Pair, delivery: str) -> None:
    page = visit(java_script_enabled=False)
    link = DEEP_LINK.partition("#")[0]  # a form hands a fragment on by a script only
    open_sign_in_form(page, sites, link)
    type_password(page, ALICE)
    if delivery == "form":
        page.get_by_role("button", name="Continue to The gate").click()
    expect_in(page, sites, ALICE, link)


def test_every_cookie_of_both_sites_is_bound_to_its_own_host_and_to_https(page: Page, sites: Pair) -> None:
    open_sign_in_form(page, sites)
    cookies = page.context.cookies()
    assert {name for name in names(page) if name.startswith(PENDING)}
    type_password(page, ALICE)
    expect_in(page, sites, ALICE)
    cookies += page.context.cookies()
    assert {SESSION, "__Host-idp_session", "__Host-idp_device", "__Host-idp_form"} <= names(page)
    for cookie in cookies:
        assert cookie["name"].startswith("__Host-")
        assert (cookie["secure"], cookie["httpOnly"], cookie["path"]) == (True, True, "/")
        assert cookie["domain"] in (IDP, SP)  # a leading dot would share it with the neighbours
        # The cookie that the token is checked against comes with a POST from another site; the session cookie does not.
        assert cookie["sameSite"] == ("None" if cookie["name"].startswith((PENDING, LANDED)) else "Lax")


def test_the_post_from_the_other_site_brings_the_pending_sign_in_and_no_session(
    page: Page, posting_sites: Pair
) -> None:
    sign_in(page, posting_sites, ALICE)
    posts: list[Request] = []
    page.on("request", lambda request: posts.append(request) if request.method == "POST" else None)
    page.goto(f"{posting_sites.sp.url}/sso/start?return_to=/again")
    expect_in(page, posting_sites, ALICE, "/again")
    sent = [request.all_headers().get("cookie", "") for request in posts if "/sso/login/jwt" in request.url]
    assert len(sent) == 1
    assert PENDING in sent[0]
    assert SESSION not in sent[0]  # the browser has it, and keeps it back: SameSite=Lax


def test_signing_out_at_the_gateway_ends_the_session_at_the_other_site(page: Page, sites: Pair) -> None:
    sign_in(page, sites, ALICE)
    sign_out(page, sites)
    expect(page.get_by_role("main")).to_contain_text(f"{ALICE.email} is signed out here, as The gate requested.")
    assert not {SESSION, "__Host-idp_session"} & names(page)
    open_sign_in_form(page, sites, "/once-more")


def test_signing_out_at_the_identity_provider_ends_the_session_at_the_gateway(page: Page, sites: Pair) -> None:
    sign_in(page, sites, ALICE)
    page.goto(f"{sites.idp.url}/")
    page.get_by_role("link", name="Sign out").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
    expect(page.get_by_text("The gate: notified. It ended 1 session.")).to_be_visible()
    assert SESSION in names(page)  # the browser still has the cookie, but it is no longer valid
    open_sign_in_form(page, sites, "/once-more")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_the_whole_way_in_and_out_needs_a_keyboard_and_no_more(
    visit: Visit, sites: Pair, delivery: str, scripts: bool
) -> None:
    page = visit(java_script_enabled=scripts)
    open_sign_in_form(page, sites, "/by-keyboard")
    expect(page.get_by_label("E-mail")).to_be_focused()
    page.keyboard.type(ALICE.email)
    page.keyboard.press("Tab")
    page.keyboard.type("a wrong password")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(ALICE.password)
    page.keyboard.press("Enter")
    if delivery == "form" and not scripts:
        press_tab_until_on(page, page.get_by_role("button", name="Continue to The gate"))
        page.keyboard.press("Enter")
    expect_in(page, sites, ALICE, "/by-keyboard")

    press_tab_until_on(page, page.get_by_role("link", name="Sign out").first)
    page.keyboard.press("Enter")
    press_tab_until_on(page, page.get_by_role("button", name="Sign out"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
    press_tab_until_on(page, page.get_by_role("link", name="Back to The gate"))
    page.keyboard.press("Enter")
    expect(page.get_by_label("E-mail")).to_be_focused()


def test_attack_a_foreign_site_that_posts_its_own_token_signs_nobody_in(page: Page, posting_sites: Pair) -> None:
    prize(page, f"{posting_sites.sp.url}/sso/login/jwt", jwt=mallorys_token(posting_sites))
    expect(page.get_by_label("Password")).to_be_visible()  # asked who she is, by the identity provider
    assert page.url.startswith(posting_sites.idp.url)
    assert SESSION not in names(page)


def test_attack_a_foreign_site_that_posts_its_own_token_does_not_turn_alice_into_mallory(
    page: Page, posting_sites: Pair
) -> None:
    sign_in(page, posting_sites, ALICE)
    prize(page, f"{posting_sites.sp.url}/sso/login/jwt", jwt=mallorys_token(posting_sites))
    expect_in(page, posting_sites, ALICE)


def test_attack_a_foreign_site_cannot_type_a_password_for_anyone(page: Page, posting_sites: Pair) -> None:
    open_sign_in_form(page, posting_sites)  # so that the form's own cookie is there
    prize(page, f"{posting_sites.idp.url}/login-token/", email=MALLORY.email, password=MALLORY.password)
    expect(page.get_by_role("alert")).to_contain_text("This form has expired. Send it again.")
    assert "__Host-idp_session" not in names(page)


def test_attack_a_foreign_site_signs_nobody_out_at_either(page: Page, posting_sites: Pair) -> None:
    sign_in(page, posting_sites, ALICE)
    for address in (f"{posting_sites.idp.url}/logout", f"{posting_sites.sp.url}/logout"):
        prize(page, address)
        expect(page.get_by_role("main")).to_be_visible()
    page.context.clear_cookies(name=SESSION)
    page.goto(f"{posting_sites.sp.url}/still")
    expect_in(page, posting_sites, ALICE, "/still")


def test_attack_a_foreign_site_can_frame_neither(far_browser: Browser, posting_sites: Pair) -> None:
    with far_browser.new_context() as context:  # unwatched: the browser must report errors here
        page = context.new_page()
        for address in (f"{posting_sites.idp.url}/login-token/", f"{posting_sites.sp.url}/login?no_sso"):
            serve_foreign_page(page, f'<h1>Prize</h1><iframe src="{address}" title="prize"></iframe>')
            page.goto(f"{EVIL}/")
            expect(page.get_by_role("heading", name="Prize")).to_be_visible()
            page.wait_for_load_state("load")
            assert page.frame_locator("iframe").get_by_label("Password").count() == 0


@contextmanager
def running_sites(grounds: Grounds, delivery: str) -> Iterator[Pair]:
    """Run a pair behind nginx, each program under its own host name."""
    folder = grounds.folder / delivery
    folder.mkdir()
    sp_port, idp_port, sp_behind, idp_behind = (free_port() for _ in range(4))
    behind_nginx = {"TRUSTED_PROXIES": "127.0.0.1"}
    service = {
        "delivery": delivery,
        # Programs cannot resolve invented names: they connect to the same nginx by its IP, also over https.
        "backchannel_logout_url": f"https://127.0.0.1:{sp_port}/sso/logout/backchannel",
    }
    with (
        terminating_tls(
            grounds.nginx, folder, grounds.certificate, {IDP: (idp_port, idp_behind), SP: (sp_port, sp_behind)}
        ),
        running_pair(
            folder,
            service=service,
            provider={"deliveries": ["form" if delivery == "form" else "query"]},
            sp_env={f"SP_{name}": value for name, value in behind_nginx.items()},
            idp_env={f"IDP_{name}": value for name, value in behind_nginx.items()}
            | {"SSL_CERT_FILE": str(grounds.certificate.authority_file)},
            people=[ALICE, MALLORY],
            ports=(sp_behind, idp_behind),
            public_urls=(f"https://{SP}:{sp_port}", f"https://{IDP}:{idp_port}"),
        ) as pair,
    ):
        yield pair


def prize(page: Page, address: str, **fields: str) -> None:
    """Let Mallory's site submit a form to *address*, as soon as a person opens it."""
    inputs = "".join(f'<input type="hidden" name="{name}" value="{value}">' for name, value in fields.items())
    serve_foreign_page(page, f'<form method="post" action="{address}">{inputs}<button>Win a prize</button></form>')
    page.goto(f"{EVIL}/")
    page.get_by_role("button", name="Win a prize").click()


def mallorys_token(pair: Pair) -> str:
    """Return a valid token of a person without an account."""
    claims = profile_claims(MALLORY, issuer=pair.idp.url, audience=pair.sp.url, sub=secrets.token_hex(8))
    return mint(claims, pair.key)


def serve_foreign_page(page: Page, body: str) -> None:
    page.unroute_all()
    page.route(f"{EVIL}/**", lambda route: route.fulfill(body=f"<!doctype html>{body}", content_type="text/html"))


def names(page: Page) -> set[str]:
    return {cookie["name"] for cookie in page.context.cookies()}
