"""Three sites on two unrelated domains, on two nodes, over https: one password, three applications, one sign-out."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from lab.browser import Chromium
from lab.cast import ALICE
from lab.journeys import expect_in, type_password
from lab.pair import Pair, running_pair
from lab.ports import free_port
from lab.programs import RunningProgram
from tests.conftest import BROWSER_WAIT_MS
from tests.support.tls import browser_arguments, find_nginx, make_certificate, terminating_tls
from tests.support.watch import Watch

pytestmark = pytest.mark.browser

IDP = "idp.example-one.test"
HOME, WIKI, SHOP = "login.example-two.test", "wiki.example-two.test", "shop.example-three.test"
NAMES = [IDP, HOME, WIKI, SHOP]
APP = "tests.support.site_app:app"


@dataclass(frozen=True)
class Company:
    """The running programs, and the URLs of the further sites."""

    pair: Pair
    wiki: str
    shop: str


@pytest.fixture
def company(tmp_path: Path, chromium: Chromium) -> Iterator[tuple[Company, Page]]:
    """Home and the shop are served by one node, and the wiki by the other, so each hand-over is between nodes."""
    nginx = find_nginx()
    if nginx is None:
        pytest.skip("no nginx on this machine; tools/system-packages installs it")
    certificate = make_certificate(tmp_path, [*NAMES, "127.0.0.1"])
    node, other_node, idp = (free_port() for _ in range(3))
    ports = {name: free_port() for name in NAMES}
    behind = {IDP: idp, HOME: node, WIKI: other_node, SHOP: node}
    urls = {name: f"https://{name}:{port}" for name, port in ports.items()}
    with ExitStack() as stack:
        sites = {name: (port, behind[name]) for name, port in ports.items()}
        stack.enter_context(terminating_tls(nginx, tmp_path, certificate, sites))
        pair = stack.enter_context(
            running_pair(
                tmp_path,
                sites={"wiki": {"url": urls[WIKI], "app": APP}, "shop": {"url": urls[SHOP], "app": APP}},
                service={"backchannel_logout_url": f"https://127.0.0.1:{ports[HOME]}/sso/logout/backchannel"},
                sp_env={"SP_TRUSTED_PROXIES": "127.0.0.1", "SP_SESSION_CACHE": "0"},
                idp_env={"IDP_TRUSTED_PROXIES": "127.0.0.1", "SSL_CERT_FILE": str(certificate.authority_file)},
                people=[ALICE],
                ports=(node, idp),
                public_urls=(urls[HOME], urls[IDP]),
            )
        )
        second = RunningProgram("run_sp.py", other_node, tmp_path / "second", pair.sp_env)
        stack.enter_context(second)
        browser = chromium.launch(tmp_path / "browser", *browser_arguments(certificate, NAMES))
        stack.callback(browser.close)
        context = browser.new_context()
        context.set_default_timeout(BROWSER_WAIT_MS)
        watch = Watch(context)
        yield Company(pair, urls[WIKI], urls[SHOP]), context.new_page()
        context.close()
        watch.assert_calm()


def test_one_password_opens_three_sites_and_a_sign_out_on_one_ends_all(company: tuple[Company, Page]) -> None:
    sites, page = company
    page.goto(f"{sites.wiki}/page?a=1")
    expect(page.get_by_label("Password")).to_be_visible()
    assert page.url.startswith(sites.pair.idp.url)
    type_password(page, ALICE)
    expect(page).to_have_url(f"{sites.wiki}/page?a=1")
    expect(page.get_by_role("heading", name=f"wiki: {ALICE.email}")).to_be_visible()
    page.goto(f"{sites.shop}/basket")
    expect(page.get_by_role("heading", name=f"shop: {ALICE.email}")).to_be_visible()
    page.goto(f"{sites.pair.sp.url}/")
    expect_in(page, sites.pair, ALICE)

    cookies = page.context.cookies()
    assert {cookie["domain"] for cookie in cookies} == set(NAMES)  # a leading dot would share it with the neighbours
    for cookie in cookies:
        assert cookie["name"].startswith("__Host-")
        assert (cookie["secure"], cookie["httpOnly"], cookie["path"]) == (True, True, "/")
    assert len([cookie for cookie in cookies if cookie["name"] == "__Host-sp_session"]) == 3

    page.goto(f"{sites.pair.sp.url}/account")
    expect(page.get_by_role("link", name="wiki")).to_have_attribute("href", f"{sites.wiki}/")

    page.goto(f"{sites.shop}/logout")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
    assert page.url.startswith(f"{sites.pair.idp.url}/logout?jwt=")
    for url in (f"{sites.wiki}/page", f"{sites.shop}/basket", f"{sites.pair.sp.url}/page"):
        page.goto(url)
        expect(page.get_by_label("Password")).to_be_visible()
