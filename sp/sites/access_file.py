"""Parse the access part of the file of SP_CONFIG: home's rules, the further sites with their rules, and the tests.

Every error is collected, so that an operator can correct all errors at the same time.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sp.policy.decision import Policy, Rule
from sp.policy.rule_tests import RuleTest, StoredAccount, TestsRun, parse_tests, run
from sp.policy.rules import RulesRefused, parse_rules
from sp.request.trusted_proxies import OwnHost
from sp.routes import HOME, Routes
from sp.sites.in_force import InForce
from sp.sites.parser import SitesRefused, parse_sites
from sp.sites.site import Site


@dataclass(frozen=True)
class AccessFile:
    """Home's rules, the further sites, and the operator's tests of all rules."""

    rules: tuple[Rule, ...] = ()
    sites: tuple[Site, ...] = ()
    tests: tuple[RuleTest, ...] = ()


def parse_access(document: Mapping[str, Any], host: OwnHost, own: Routes) -> tuple[AccessFile, list[str]]:
    """Return the access part of *document*, and every error in it. *host* is the host of the home site."""
    mistakes: list[str] = []
    rules: tuple[Rule, ...] = ()
    sites: tuple[Site, ...] | None = None
    tests: tuple[RuleTest, ...] = ()
    try:
        rules = parse_rules(document.get("rules", []), own)
    except RulesRefused as refusal:
        mistakes += refusal.mistakes
    try:
        sites = parse_sites(document.get("sites", {}), host.external_url, own)
    except SitesRefused as refusal:
        mistakes += refusal.mistakes
    locate = None if sites is None else InForce.of((Site(HOME, host.external_url), *sites), host).locate
    try:
        tests = parse_tests(document.get("tests", []), own, locate)
    except RulesRefused as refusal:
        mistakes += refusal.mistakes
    return AccessFile(rules, sites or (), tests), mistakes


def run_tests(access: AccessFile, own: Routes, find: Callable[[str], StoredAccount | None]) -> TestsRun:
    """Decide the tests of a file. *find* returns the account with an e-mail address, or None."""
    named = {test.site for test in access.tests}
    rules = {HOME: access.rules, **{site.name: site.rules for site in access.sites}}
    return run(access.tests, {name: Policy(rules[name]) for name in named}, own, find)
