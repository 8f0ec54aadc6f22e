"""Decide what an administrator should look at first, the most urgent first.

Each item describes a problem, and links to the page where it can be examined or changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from flask import url_for

from sp.activity.counts import Counts
from sp.diagnosis.health import NEAR, ON_ITS_WAY_OUT, ProviderHealth
from sp.policy.explain import describe
from sp.providers.rows import StoredProvider
from sp.rule_counters import DECIDED
from sp.sites.site import Site

MORE = 10  # a code gets an item if it has this many more rejections than the day before, and at least twice as many
SEATS_LEFT = 0.1  # as a fraction of all seats
IDLE_DAYS = 7  # after which an unused rule is reported; some pages are opened only once a week
IDLE_RULES = 5  # the most rules that are named one by one
URGENT, SOON, WORTH_KNOWING = "urgent", "soon", "worth knowing"


@dataclass(frozen=True)
class Attention:
    """One item on the list."""

    urgency: str
    text: str
    url: str
    link: str


def of_health(healths: Sequence[ProviderHealth]) -> Iterator[Attention]:
    """Yield the providers that will reject people, the providers near a limit, and keys that were never used."""
    for health in healths:
        name, title = health.provider.name, health.provider.title
        margins = url_for("provider.show", name=name, _anchor="margins")
        if health.state == ON_ITS_WAY_OUT and health.worst:
            text = f"{title} will refuse people from {health.worst.refuses_on} on: {health.reason}."
            yield Attention(URGENT, text, margins, "Margins")
        elif health.state == NEAR:
            yield Attention(SOON, f"{title} is near a limit: {health.reason}.", margins, "Margins")
        if not health.provider.enabled or health.provider.jwks_url:
            continue
        for key in health.keys:
            if key.unused:
                text = f"The key {key.fingerprint} of {title} was made {key.days} days ago and was never used."
                yield Attention(SOON, text, url_for("provider.show", name=name, _anchor="key-list"), "Keys")


def of_settings(everyone: Sequence[StoredProvider], file_mistakes: Sequence[str]) -> Iterator[Attention]:
    """Yield the settings that are not in use because they were rejected."""
    for mistake in file_mistakes:
        text = f"The file of SP_CONFIG has changed, and is not in force because of an error: {mistake}"
        yield Attention(URGENT, text, url_for("settings.index"), "Providers")
    for stored in everyone:
        if stored.mistakes:
            text = f"{stored.provider.title} is not in use, because its stored settings are invalid."
            yield Attention(URGENT, text, url_for("provider.show", name=stored.provider.name), "Correct them")


def of_rejections(today: Mapping[str, int], yesterday: Mapping[str, int]) -> Iterator[Attention]:
    """Yield the codes with many more rejections than the day before."""
    for code, times in today.items():
        before = yesterday.get(code, 0)
        if times >= before + MORE and times >= 2 * before:
            text = f"{times:,} rejections with {code} in the last 24 hours, {before:,} in the 24 hours before."
            yield Attention(SOON, text, url_for("activity.index", code=code, last="24h"), "Show them")


def of_rules(sites: Sequence[Site], decided: Mapping[tuple[str, int, str], int], days: int) -> Iterator[Attention]:
    """Yield the rules that have decided no request in the *days* since counting began."""
    if days < IDLE_DAYS:
        return
    idle = [
        (site, number, rule)
        for site in sites
        for number, rule in enumerate(site.rules, 1)
        if not rule.shadow and not decided.get((site.name, number, DECIDED))
    ]
    for site, number, rule in idle[:IDLE_RULES]:
        text = f"Rule {number} of {site.name} ({describe(rule)}) has decided about no request in {days} days."
        yield Attention(WORTH_KNOWING, text, url_for("policy.index"), "Rules")
    if len(idle) > IDLE_RULES:
        text = f"{len(idle) - IDLE_RULES} more rules have decided about no request in {days} days."
        yield Attention(WORTH_KNOWING, text, url_for("policy.index"), "Rules")


def of_seats(taken: int, limit: int) -> Iterator[Attention]:
    """Yield a warning if few seats are left."""
    if limit and limit - taken <= limit * SEATS_LEFT:
        left = max(0, limit - taken)
        text = f"Seats left: {left:,} of {limit:,}. Without a seat, new people are rejected."
        yield Attention(SOON, text, url_for("users.index"), "Accounts")


def of_warnings(warnings: Sequence[str]) -> Iterator[Attention]:
    """Yield the warnings that concern all providers."""
    for warning in warnings:
        yield Attention(WORTH_KNOWING, warning, url_for("settings.index"), "Providers")


def compare(counts: Counts, now: int) -> Iterator[Attention]:
    """Yield the codes that became more frequent. Yields nothing unless both days were counted completely."""
    day = 86_400
    if counts.counted_from <= now - 2 * day + 3600:
        yield from of_rejections(counts.rejected_in(now - day), counts.rejected_in(now - 2 * day, now - day))


def sort(items: Sequence[Attention]) -> list[Attention]:
    """Return *items*, the most urgent first."""
    return sorted(items, key=lambda item: (URGENT, SOON, WORTH_KNOWING).index(item.urgency))
