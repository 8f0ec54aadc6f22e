"""Decide whether an answer means that a token was accepted.

A service provider does not report this in a machine-readable form. So the service first gets valid tokens and garbage.
If a feature of its answers is the same for all valid tokens, and different for garbage, this feature can tell an
accepted token from a rejected one. These features are used, the most reliable first:

1. the status and the redirect of the page on which the valid token ended, requested again with the cookies of this
   visit;
2. the text of that page, without the parts that change at each visit;
3. the cookies that only a valid token sets;
4. the target of a redirect;
5. the status of the answer;
6. the names of its JSON members, or its text.

The first feature that shows this difference decides. If it is feature 1 or 2, and the page looks neither signed in nor
signed out (for example, a name is missing), the next feature decides. With the other features, a response that does not
look like the answer to a valid token counts as a rejection. If no feature decides, the answer also counts as a
rejection.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

# Parts that change at each visit: long runs of letters and digits, such as nonces and references, and numbers.
CHANGING = re.compile(r"[A-Za-z0-9_+/=-]{16,}|\d+")
HINT = "check --key, --claim and --parameter, or begin each sign-in at the service with --start"
MARKUP = re.compile(r"<[^<>]*>|\s+")


@dataclass(frozen=True)
class Page:
    """An answer. `redirect` is its target without the values of the query, or empty."""

    status: int
    redirect: str
    text: str

    @property
    def shape(self) -> str:
        """The names of its JSON members, or else its text without markup and the parts that change at each visit."""
        try:
            value = json.loads(self.text)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            return "JSON: " + " ".join(sorted(map(str, value)))
        return " ".join(CHANGING.sub("#", MARKUP.sub(" ", self.text)).split())


@dataclass(frozen=True)
class Observation:
    """The results of a visit with a token: the answer, the names of the cookies, and the page requested afterwards."""

    answer: Page
    cookies: frozenset[str]
    end: str
    probe: Page | None = None


class ControlFailed(Exception):
    """Valid tokens and garbage get the same answers, so faulty tokens cannot be tested. The message says why."""


@dataclass(frozen=True)
class Feature:
    """A feature of a visit to compare.

    If `decides` is true, an answer that looks neither valid nor faulty counts as a rejection. If it is false, the next
    feature decides.
    """

    name: str
    value: Callable[[Observation], Hashable]
    decides: bool = True


FEATURES = (
    Feature("the page after sign-in", lambda seen: seen.probe and (seen.probe.status, seen.probe.redirect), False),
    Feature("the text of the page after sign-in", lambda seen: seen.probe and seen.probe.shape, False),
    Feature("the cookies", lambda seen: seen.cookies),
    Feature("the redirect", lambda seen: seen.answer.redirect),
    Feature("the status", lambda seen: seen.answer.status),
    Feature("the text of the answer", lambda seen: seen.answer.shape),
)
COOKIES = FEATURES[2]


class Judgement:
    """Decides whether a token was accepted, by comparing the answer with those to valid tokens and to garbage.

    Raises ControlFailed if no feature tells valid tokens and garbage apart.
    """

    def __init__(self, good: Sequence[Observation], bad: Sequence[Observation]) -> None:
        self._good, self._bad = good, bad
        sets = [seen.cookies for seen in good]
        self._session = frozenset.intersection(*sets) - frozenset[str]().union(*(seen.cookies for seen in bad))
        self.telling = tuple(feature for feature in FEATURES if self._tells(feature))
        if not self.telling:
            raise ControlFailed(self._why_nothing_tells())

    def accepts(self, seen: Observation) -> tuple[bool, str]:
        """Return whether *seen* means accepted, and the name of the feature that decided."""
        for feature in self.telling:
            if self._is_good(feature, seen):
                return True, feature.name
            if feature.decides or self._is_bad(feature, seen):
                return False, feature.name
        return False, "everything that tells good from bad"

    def _why_nothing_tells(self) -> str:
        if len({(seen.answer.status, seen.answer.redirect) for seen in self._good}) > 1:
            return f"two good tokens bring different answers; {HINT}"
        return f"a good token and garbage bring the same answer; {HINT}"

    def _tells(self, feature: Feature) -> bool:
        if feature is COOKIES:
            return bool(self._session)
        values = {feature.value(seen) for seen in self._good}
        return len(values) == 1 and values.isdisjoint(feature.value(seen) for seen in self._bad)

    def _is_good(self, feature: Feature, seen: Observation) -> bool:
        if feature is COOKIES:
            return seen.cookies >= self._session
        return feature.value(seen) == feature.value(self._good[0])

    def _is_bad(self, feature: Feature, seen: Observation) -> bool:
        return any(feature.value(seen) == feature.value(bad) for bad in self._bad)
