"""Return URLs: a path of the site that is asked, an absolute URL of home or of a listed site, and nothing else."""

import time
from collections.abc import Callable
from urllib.parse import quote, urlencode

import pytest

from lab.cast import ALICE
from lab.minting import mint
from sp.request.trusted_proxies import OwnHost
from sp.sites.in_force import InForce
from sp.sites.return_urls import return_target, site_of
from sp.sites.site import HOME, Site
from tests.sp.gateway.gate import Gate
from tests.sp.sites.browser import HOME as HOME_URL
from tests.sp.sites.browser import KEY, WIKI, Browser

SITES = [
    Site(HOME, "https://login.example.org"),
    Site("wiki", "https://wiki.example.org"),
    Site("shop", "https://shop.example.com:8443"),
]
IN_FORCE = InForce.of(SITES, OwnHost(SITES[0].url))

GOOD = {  # at home
    "/page": "/page",
    "/page?a=https://evil.example": "/page?a=https://evil.example",
    "https://login.example.org/page": "/page",
    "https://wiki.example.org": "https://wiki.example.org/",
    "https://wiki.example.org/page?a=1#b": "https://wiki.example.org/page?a=1#b",
    "HTTPS://WIKI.Example.ORG/Page": "https://wiki.example.org/Page",
    "https://wiki.example.org:443/page": "https://wiki.example.org/page",
    "https://shop.example.com:8443/page": "https://shop.example.com:8443/page",
    "https://wiki.example.org?a=1": "https://wiki.example.org/?a=1",
}
BAD = (
    "https://wiki.example.org.evil.example/page",
    "https://evilwiki.example.org/page",
    "https://wiki.example.orgevil.example",
    "https://wiki.example.org:8443/page",
    "https://wiki.example.org:80/page",
    "https://shop.example.com/page",
    "https://shop.example.com:443/page",
    "http://wiki.example.org/page",
    "ftp://wiki.example.org/page",
    "javascript:alert(1)//https://wiki.example.org/",
    "https://wiki.example.org@evil.example/page",
    "https://wiki.example.org:443@evil.example/page",
    "https://evil.example@wiki.example.org/page",
    "https://evil.example:x@wiki.example.org/page",
    "https://wiki.example.org./page",
    "https://wiki.example.org../page",
    "https://wíki.example.org/page",
    "https://xn--wki-tma.example.org/page",
    "https://wiki。example。org/page",
    "https://wiki.example.org\\@evil.example/page",
    "https:\\\\wiki.example.org/page",
    "https:/wiki.example.org/page",
    "https:wiki.example.org/page",
    "https:///wiki.example.org/page",
    "https://wiki.example.org//evil.example",
    "https://wiki.example.org/..//evil.example",
    "https://wiki.example.org/%2e%2e/admin",
    "https://wiki.example.org/\\evil.example",
    "https://wiki.example.org/%5cevil.example",
    "https://wiki.example.org/page\n",
    "https://wiki.example.org\n/page",
    "https://wiki.example.org\t/page",
    " https://wiki.example.org/page",
    "https://wiki.example.org /page",
    "https://wiki.example.org/\x00",
    "https://wiki.example.org/" + "a" * 2048,
    "https://[wiki.example.org]/page",
    "https://gone.example.org/page",
    "https://*.example.org/page",
    "//wiki.example.org/page",
    "/\\wiki.example.org/page",
    "",
)


@pytest.mark.parametrize(("url", "target"), GOOD.items())
def test_a_page_of_ours_is_a_return_url(url: str, target: str) -> None:
    assert return_target(url, SITES[0], IN_FORCE) == target


@pytest.mark.parametrize("here", SITES, ids=lambda site: site.name)
@pytest.mark.parametrize("url", BAD)
def test_attack_a_return_url_of_another_site(url: str, here: Site) -> None:
    assert return_target(url, here, IN_FORCE) is None


def test_a_letter_that_looks_like_another_in_lower_case_leads_to_our_own_url() -> None:
    """The Kelvin sign is "k" in lower case. What is sent to the browser is the URL of the settings in any case."""
    assert return_target("https://wi\u212ai.example.org/page", SITES[0], IN_FORCE) in (
        None,
        "https://wiki.example.org/page",
    )


def test_a_path_is_of_the_site_where_it_is_used() -> None:
    for site in SITES:
        assert return_target("/page", site, IN_FORCE) == "/page"
        assert return_target(f"{site.url}/page", site, IN_FORCE) == "/page"
        assert site_of("/page", site, IN_FORCE) is site


# Over HTTP


@pytest.fixture
def gate(node: Callable[..., Gate]) -> Gate:
    return node()


def test_a_sign_in_at_home_leads_to_a_page_of_a_listed_site(gate: Gate) -> None:
    seen = Browser([gate], ALICE.email).visit(f"{HOME_URL}/sso/start?return_to={quote(WIKI)}/page")
    assert (seen.url, seen.is_reached) == (f"{WIKI}/page", True)


def test_a_sign_in_at_a_site_leads_to_a_page_of_another_one_if_that_is_asked_for(gate: Gate) -> None:
    alice = Browser([gate], ALICE.email)
    assert alice.visit(f"{WIKI}/sso/start?return_to={quote(HOME_URL)}/page").url == f"{HOME_URL}/page"
    assert alice.is_in(WIKI)


def test_attack_every_bad_return_url_falls_back(gate: Gate) -> None:
    alice = Browser([gate], ALICE.email)
    alice.visit(f"{HOME_URL}/page")
    for url in BAD:
        where = urlencode({"return_to": url})
        assert alice.visit(f"{WIKI}/sso/start?{where}").url == f"{WIKI}/", url
    for url in BAD[::4]:
        assert alice.visit(f"{HOME_URL}/sso/start?{urlencode({'return_to': url})}").url == f"{HOME_URL}/", url


@pytest.mark.parametrize(("url", "page"), [(f"{WIKI}/page", f"{WIKI}/page"), (f"{WIKI}.evil.example/", f"{HOME_URL}/")])
def test_the_return_to_claim_of_a_token_may_name_a_listed_site(gate: Gate, url: str, page: str) -> None:
    other = {"keys": [KEY], "login_url": "https://other.example/login", "unsolicited": "accept"}
    gate.core.provider_store.apply({"other": other}, actor="test")
    now = int(time.time())
    token = mint({"iat": now, "jti": f"{url}{now}", "exp": now + 60, "email": ALICE.email, "return_to": url}, KEY)
    answer = Browser([gate], ALICE.email).ask(f"{HOME_URL}/sso/login/jwt/other?jwt={token}")
    assert str(answer.header("Location")) in (page, page.removeprefix(HOME_URL))
