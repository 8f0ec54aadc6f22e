"""The sites of a file: what is accepted, and every error at once."""

from typing import Any

import pytest

from sp.routes import Routes
from sp.sites.parser import SitesRefused, parse_sites
from sp.sites.site import Site

HOME_URL = "https://sso.example.org"
WIKI = {"url": "https://wiki.example.org"}


def parse(tables: Any, home: str = HOME_URL) -> tuple[Site, ...]:
    return parse_sites(tables, home, Routes())


def test_a_site_has_what_the_file_says() -> None:
    (site,) = parse(
        {
            "Wiki": {
                "url": "https://WIKI.example.org:443/",
                "app": "wiki.wsgi:make()",
                "identity_headers": "x-forwarded",
                "provider": "Corporate",
                "rules": [{"path": "/admin/", "allow": {"groups": ["wiki-admins"]}}],
            }
        }
    )
    assert (site.name, site.url, site.netloc) == ("wiki", "https://wiki.example.org", "wiki.example.org")
    assert (site.app, site.identity_headers, site.provider) == ("wiki.wsgi:make()", "x-forwarded", "corporate")
    assert [rule.path for rule in site.rules] == ["/admin/"]
    assert not site.is_home


def test_a_site_needs_a_url_only() -> None:
    (site,) = parse({"wiki": WIKI})
    assert site == Site("wiki", "https://wiki.example.org")


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ([], "sites: write each site as a separate table"),
        ({"wiki": "https://wiki.example.org"}, "sites: write each site as a separate table"),
        ({f"s{number}": WIKI for number in range(1001)}, "sites: at most 1000"),
        ({"home": WIKI}, "sites.home: this name is reserved"),
        ({"1wiki": WIKI}, "sites.1wiki: the name must begin with a letter"),
        ({"wiki": WIKI, "Wiki": {"url": "https://w.example.org"}}, "sites.wiki: there are 2 sites of this name"),
        ({"wiki": {}}, "sites.wiki.url: must be http://host or https://host"),
        ({"wiki": {"url": 7}}, "sites.wiki.url: must be a text"),
        ({"wiki": {"url": "https://wiki.example.org/path"}}, "sites.wiki.url: must be http://host"),
        ({"wiki": {"url": "https://alice@wiki.example.org"}}, "sites.wiki.url: must be http://host"),
        ({"wiki": {"url": "https://wiki.example.org:99999"}}, "sites.wiki.url: must be http://host"),
        ({"wiki": {"url": "https://wïki.example.org"}}, "sites.wiki.url: must be http://host"),
        ({"wiki": {"url": "http://wiki.example.org"}}, "sites.wiki.url: must have the scheme of SP_EXTERNAL_URL"),
        ({"wiki": {"url": HOME_URL}}, "sites.wiki.url: https://sso.example.org is already the URL of SP_EXTERNAL_URL"),
        ({"wiki": {"url": "https://SSO.example.org:443"}}, "is already the URL of SP_EXTERNAL_URL"),
        ({"a": WIKI, "b": WIKI}, "sites.b.url: https://wiki.example.org is already the URL of sites.a"),
        ({"wiki": {**WIKI, "app": "wiki"}}, "sites.wiki.app: must be module:callable"),
        ({"wiki": {**WIKI, "identity_headers": "all"}}, "sites.wiki.identity_headers: must be one of remote"),
        ({"wiki": {**WIKI, "provider": "two words"}}, "sites.wiki.provider: the name must begin with a letter"),
        ({"wiki": {**WIKI, "cookie": "x"}}, "sites.wiki.cookie: is unknown: a site has url"),
        ({"wiki": {**WIKI, "rules": [{"path": "/*"}]}}, "sites.wiki.rules[1]: path"),
        ({"wiki": {**WIKI, "rules": [{"path": "/", "allow": "anyone"}]}}, "sites.wiki.rules[1]: path"),
        ({"wiki": {**WIKI, "rules": {}}}, "sites.wiki.rules: write each rule"),
    ],
)
def test_an_error_is_named_with_its_place(tables: Any, said: str) -> None:
    with pytest.raises(SitesRefused) as refused:
        parse(tables)
    assert any(mistake.startswith(said) or said in mistake for mistake in refused.value.mistakes)


def test_all_errors_are_named_at_once() -> None:
    with pytest.raises(SitesRefused) as refused:
        parse({"wiki": {"url": "x", "app": "x", "rules": [{"path": "x"}]}, "home": WIKI})
    assert len(refused.value.mistakes) == 5  # the rule has two


def test_sites_on_one_host_name_have_session_cookies_of_their_own() -> None:
    """Browsers send a cookie to every port of a host."""
    sites = parse(
        {"a": {"url": f"{HOME_URL}:8443"}, "b": WIKI, "c": {"url": "https://wiki.example.org:444"}}, f"{HOME_URL}:444"
    )
    assert [site.cookie_suffix for site in sites] == ["_a", "", "_c"]
