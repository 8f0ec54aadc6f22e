"""Show administrators the rules of each site, how often each rule decided, and who may open a page and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from shared.web import page
from sp.admin.guard import administrators_only, file_state
from sp.current import components
from sp.policy.decision import Policy, Rule
from sp.policy.explain import Explanation, Someone, admitted, explain
from sp.redirects import MAX_LENGTH
from sp.routes import Routes
from sp.rule_counters import DECIDED, DIFFERENCES, NO_RULE
from sp.sites.site import Site

views = Blueprint("policy", __name__)
administrators_only(views)

VISITOR, PERSON, GROUPS = "nobody", "person", "groups"
WHO = {
    VISITOR: "A visitor who is not signed in",
    PERSON: "The person with this e-mail address",
    GROUPS: "A person with these groups",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MAX_FIELD = 1000  # characters
_METHOD = re.compile(r"[A-Za-z][A-Za-z-]{0,30}\Z")

Totals = Mapping[tuple[str, int, str], int]


@dataclass(frozen=True)
class ListedRule:
    """A rule on the page. `would` is how often a shadow rule would have decided otherwise, by decision."""

    number: int
    rule: Rule
    allows: str
    decided: int
    would: Mapping[str, int]


@dataclass(frozen=True)
class ListedSite:
    """A site on the page. `by_no_rule` is the number of decisions about requests that no rule matches."""

    site: Site
    rules: tuple[ListedRule, ...]
    by_no_rule: int


@dataclass(frozen=True)
class WhoMay:
    """The input of the form "who may?"."""

    who: str = VISITOR
    email: str = ""
    groups: str = ""
    method: str = "GET"
    url: str = ""


@views.get("/settings/policy")
def index() -> ResponseReturnValue:
    """Show the rules, and the answer to the form if it was sent."""
    core = components()
    state = file_state()  # must come first: it may put a changed file in force
    totals = core.rule_counts.totals()
    asked = _asked()
    answer, problem = _answer(asked) if asked.url else (None, "")
    return page(
        "sp/settings/policy.html",
        sites=[_listed(site, totals) for site in core.rulebook.current.sites],
        differences=_differences(),
        undecided=state.undecided,
        asked=asked,
        answer=answer,
        problem=problem,
        who=WHO,
        methods=METHODS,
    )


def _listed(site: Site, totals: Totals) -> ListedSite:
    def count(number: int, what: str) -> int:
        return totals.get((site.name, number, what), 0)

    rules = tuple(
        ListedRule(
            number,
            rule,
            admitted(rule),
            count(number, DECIDED),
            {decision: count(number, what) for decision, what in DIFFERENCES.items()} if rule.shadow else {},
        )
        for number, rule in enumerate(site.rules, 1)
    )
    return ListedSite(site, rules, count(NO_RULE, DECIDED))


def _differences() -> Sequence[Mapping[str, object]]:
    """Return the requests that shadow rules would have decided differently, latest first, with the people's e-mails."""
    found = components().rule_counts.latest()
    emails = components().account_search.emails_of({each.account for each in found if each.account is not None})
    return [
        {
            "at": datetime.fromtimestamp(each.at, UTC),
            "email": emails.get(each.account, "") if each.account is not None else "",
            "found": each,
        }
        for each in found
        if each.account is None or each.account in emails
    ]


def _asked() -> WhoMay:
    def text(name: str, default: str = "") -> str:
        return request.args.get(name, default).strip()[:MAX_FIELD]

    who, url = text("who", VISITOR), request.args.get("url", "").strip()[: MAX_LENGTH + 1]
    email, groups = text("email"), text("groups")
    if who not in WHO or (who == VISITOR and (email or groups)):  # typed values count even if another option is chosen
        who = PERSON if email else GROUPS if groups else VISITOR
    return WhoMay(who, email, groups, text("method", "GET"), url)


def _answer(asked: WhoMay) -> tuple[Explanation | None, str]:
    """Return the decision about the request in the form, or the error in the form."""
    core = components()
    in_force = core.rulebook.current
    if len(asked.url) > MAX_LENGTH or not _METHOD.match(asked.method):
        return None, f"Enter a method, and a path or URL of at most {MAX_LENGTH} characters."
    place = in_force.locate(asked.url)
    site = in_force.named(place[0]) if place is not None else None
    if place is None or site is None:
        return (
            None,
            "This is not a URL of a listed site. Enter a path that begins with /, or a URL of one of the sites below.",
        )
    person: Someone | None = None
    if asked.who == GROUPS:
        person = Someone("", tuple(filter(None, (name.strip() for name in asked.groups.split(",")))))
    elif asked.who == PERSON:
        account = core.people.find(asked.email) if asked.email else None
        if account is None:
            return None, f"The account {asked.email or '(no e-mail address)'} does not exist."
        if not account.is_active:
            return (
                None,
                f"{account.email} is disabled, so this person cannot sign in. Ask for a visitor to see what is public.",
            )
        person = Someone(account.email, tuple(account.groups))
    own = Routes(core.config.prefix, core.config.external_url, core.config.is_demo)
    return explain(Policy(site.rules), own, asked.method.upper(), place[1], person, site.name), ""
