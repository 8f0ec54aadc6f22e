"""Parse the further sites, which are the tables `[sites.NAME]` in the TOML file of SP_CONFIG.

Every error is collected and reported, because an error in a site's settings may open pages that should be protected.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from shared.settings import is_origin
from sp.policy.rules import RulesRefused, parse_rules
from sp.providers.setting_reader import ProviderRefused
from sp.providers.settings_parser import parse_name
from sp.redirects import own_origin
from sp.request.identity_headers import HEADER_SETS
from sp.routes import Routes
from sp.sites.site import HOME, Site

KEYS = {"url", "app", "identity_headers", "provider", "rules"}
MAX_SITES = 1000


class SitesRefused(ValueError):
    """Sites that could surprise the operator. `mistakes` has one line for each error."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("; ".join(mistakes))


def parse_sites(tables: object, home_url: str, own: Routes) -> tuple[Site, ...]:
    """Return the further sites in *tables*, the value of `sites` in the TOML file. Raises SitesRefused."""
    if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
        raise SitesRefused(["sites: write each site as a separate table with the heading [sites.name]"])
    if len(tables) > MAX_SITES:
        raise SitesRefused([f"sites: at most {MAX_SITES}"])
    mistakes: list[str] = []
    sites: list[Site] = []
    for name, table in tables.items():
        reader = _SiteReader(name, table, home_url, own)
        site = reader.site()
        mistakes += [f"sites.{name}{mistake}" for mistake in reader.mistakes]
        if site is not None:
            sites.append(site)
    mistakes += _same_names(sites) + _same_origins(sites, home_url)
    if mistakes:
        raise SitesRefused(mistakes)
    return _with_own_cookies(sites, home_url)


class _SiteReader:
    """Reads one site, and collects its errors."""

    def __init__(self, name: str, table: Mapping[str, Any], home_url: str, own: Routes) -> None:
        self.mistakes: list[str] = []
        self._name, self._table, self._home_url, self._own = name, table, home_url, own

    def site(self) -> Site | None:
        name = self._site_name()
        for key in sorted(self._table.keys() - KEYS):
            self._mistake(key, "is unknown: a site has url, app, identity_headers, provider and rules")
        url, app, provider = self._url(), self._app(), self._provider()
        headers, rules = self._identity_headers(), self._rules()
        if url is None or name is None:
            return None
        return Site(name, url, rules=rules, app=app, identity_headers=headers, provider=provider)

    def _mistake(self, key: str, why: str) -> None:
        self.mistakes.append(f".{key}: {why}")

    def _site_name(self) -> str | None:
        name = self._parsed_name("", self._name)
        if name == HOME:
            self.mistakes.append(": this name is reserved: home is the site of SP_EXTERNAL_URL")
            return None
        return name

    def _parsed_name(self, key: str, text: str) -> str | None:
        try:
            return parse_name(text)
        except ProviderRefused as refusal:
            self.mistakes.append(f"{key}: the name {refusal.mistakes['name']}")
            return None

    def _text(self, key: str) -> str:
        value = self._table.get(key, "")
        if not isinstance(value, str):
            self._mistake(key, "must be a text")
            return ""
        return value.strip()

    def _url(self) -> str | None:
        url = self._text("url").rstrip("/")
        if not is_origin(url):
            self._mistake("url", "must be http://host or https://host, optionally with a port, and without a path")
            return None
        if urlsplit(url).scheme != urlsplit(self._home_url).scheme:
            self._mistake("url", "must have the scheme of SP_EXTERNAL_URL, because all cookies are made for one scheme")
            return None
        return own_origin(url)

    def _app(self) -> str:
        app = self._text("app")
        if app and not is_app(app):
            self._mistake("app", "must be module:callable or module:factory()")
        return app

    def _provider(self) -> str:
        provider = self._text("provider")
        return (self._parsed_name(".provider", provider) or "") if provider else ""

    def _identity_headers(self) -> str | None:
        header_set = self._text("identity_headers")
        if header_set and header_set not in HEADER_SETS:
            self._mistake("identity_headers", f"must be one of {', '.join(HEADER_SETS)}")
        return header_set or None

    def _rules(self) -> tuple[Any, ...]:
        try:
            return parse_rules(self._table.get("rules", []), self._own)
        except RulesRefused as refusal:
            self.mistakes += [f".{mistake}" for mistake in refusal.mistakes]
            return ()


def is_app(target: str) -> bool:
    """Tell whether *target* is of the form module:callable or module:factory()."""
    module, _colon, name = target.partition(":")
    return all(part.isidentifier() for part in (*module.split("."), name.removesuffix("()")))


def _same_names(sites: Sequence[Site]) -> list[str]:
    """Report each name that several sites have. Names are compared after parsing, so case does not matter."""
    times = Counter(site.name for site in sites)
    return [f"sites.{name}: there are {number} sites of this name" for name, number in times.items() if number > 1]


def _same_origins(sites: Sequence[Site], home_url: str) -> list[str]:
    """Report each site whose URL belongs to home or to an earlier site."""
    owners = {own_origin(home_url): "SP_EXTERNAL_URL"}
    found = []
    for site in sites:
        owner = owners.setdefault(site.url, f"sites.{site.name}")
        if owner != f"sites.{site.name}":
            found.append(f"sites.{site.name}.url: {site.url} is already the URL of {owner}")
    return found


def _with_own_cookies(sites: Sequence[Site], home_url: str) -> tuple[Site, ...]:
    """Return *sites* with separate session cookies for sites on the same host name."""
    taken = {(urlsplit(home_url).hostname or "").rstrip(".")}
    named = []
    for site in sites:
        named.append(replace(site, cookie_suffix=f"_{site.name}") if site.host_name in taken else site)
        taken.add(site.host_name)
    return tuple(named)
