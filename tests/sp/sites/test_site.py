"""Which site a request is for, by its Host header."""

import pytest

from sp.request.trusted_proxies import OwnHost
from sp.sites.site import HOME, MAX_REMEMBERED_LENGTH, Site, SiteHosts

HOME_URL = "https://sso.example.org"
SITES = (
    Site(HOME, HOME_URL),
    Site("wiki", "https://wiki.example.org"),
    Site("shop", "https://shop.example.com:8443"),
    Site("beside", "https://sso.example.org:9000"),
)
HOSTS = SiteHosts(SITES, OwnHost(HOME_URL))


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("sso.example.org", HOME),
        ("SSO.example.org", HOME),
        ("sso.example.org:5000", HOME),  # proxies that pass on another port
        ("sso.example.org:9000", "beside"),
        ("wiki.example.org", "wiki"),
        ("wiki.example.org:443", "wiki"),
        ("Wiki.Example.ORG", "wiki"),
        ("wiki.example.org.", "wiki"),  # the DNS root
        ("shop.example.com:8443", "shop"),
    ],
)
def test_a_listed_host_is_its_site(host: str, name: str) -> None:
    site = HOSTS.find(host)
    assert site is not None
    assert site.name == name


@pytest.mark.parametrize(
    "host",
    [
        "",
        "example.org",
        "x.wiki.example.org",
        "wiki.example.org.evil.example",
        "evilwiki.example.org",
        "wiki.example.org:80",
        "wiki.example.org:8443",
        "wiki.example.org..",
        "wiki.example.org@evil.example",
        "evil.example@wiki.example.org",
        "wiki.example.org/",
        "wiki.example.org, evil.example",
        "wiki.example.org evil.example",
        "wiki.example.org\x00",
        "wіki.example.org",  # with a Cyrillic letter
        "xn--wki-jma.example.org",
        "shop.example.com",
        "shop.example.com:443",
        "shop.example.com:08443",
        "w" * MAX_REMEMBERED_LENGTH + ".example.org",
    ],
)
def test_attack_a_host_that_only_looks_like_a_listed_one_is_no_site(host: str) -> None:
    assert HOSTS.find(host) is None


def test_a_site_of_this_machine_comes_before_the_other_names_of_home() -> None:
    sites = (Site(HOME, "http://127.0.0.1:5000"), Site("wiki", "http://localhost:5000"))
    hosts = SiteHosts(sites, OwnHost("http://127.0.0.1:5000"))
    assert [hosts.find(host) for host in ("localhost:5000", "127.0.0.1:5000", "127.0.0.2:5000")] == [
        sites[1],
        sites[0],
        sites[0],
    ]
