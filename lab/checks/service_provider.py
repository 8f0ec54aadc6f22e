"""Check a service provider: which faulty tokens it accepts, and how it treats a valid token.

Besides the faults, it checks https, caching, the flags of the cookies, where `return_to` leads, and whether HEAD spends
a token. It also checks whether the token stays in a URL, and whether a page repeats markup from a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urljoin, urlsplit

from lab.attack.observation import ControlFailed
from lab.attack.run import Attack, Result
from lab.attack.target import Target, Visit
from lab.faults import Fault
from shared.outbound import ExchangeFailed
from shared.settings import is_loopback
from sp.diagnosis.inspector import Finding

ELSEWHERE = "mallory.example"  # a reserved name: RFC 2606, section 3
SPELLINGS = (  # of URLs that browsers read as URLs of another site
    f"https://{ELSEWHERE}/",
    f"//{ELSEWHERE}/",
    f"/\\{ELSEWHERE}/",
    f"/\t/{ELSEWHERE}/",
    f"https:{ELSEWHERE}/",
    f"/%2f{ELSEWHERE}/",
    f"javascript:alert('{ELSEWHERE}')",
)
IGNORED_BY_BROWSERS = re.compile(r"[\x00-\x20]")


def check_service(
    attack: Attack, target: Target, faults: Iterable[Fault], *, strict: bool = False
) -> Iterator[Finding]:
    """Yield the findings.

    If *strict* is true, each accepted fault is a failure. If it is false, an accepted fault is a failure only if its
    level is "hole". Otherwise it is advice.
    """
    try:
        told_by = attack.control()
        yield Finding("control", "passed", f"good tokens and garbage are told apart by {', '.join(told_by)}")
        yield from (of_fault(result, strict=strict) for result in attack.faults(faults))
        yield from _manners(attack, target)
        attack.finish()
        yield Finding("control_at_the_end", "passed", "a good token is still accepted")
    except ControlFailed as error:
        yield Finding("control", "failed", str(error), "Nothing else can be said before a good token is accepted.")
    except ExchangeFailed as error:
        yield Finding("answers", "failed", f"the service stopped answering: {error}")


def of_fault(result: Result, *, strict: bool = False) -> Finding:
    """Return the finding for the result of a fault."""
    name = f"fault_{result.fault.replace('-', '_')}"
    if result.outcome == "not tried":
        return Finding(name, "skipped", result.because)
    if result.outcome == "refused":
        return Finding(name, "passed", f"rejected, where {result.what}")
    is_bad = strict or result.level == "hole"
    return Finding(name, "failed" if is_bad else "advice", f"accepted, although {result.what}", f"Rule: {result.rule}.")


def _manners(attack: Attack, target: Target) -> Iterator[Finding]:
    yield _transport(target.url)
    visit, token = Visit(target), ""
    token = attack.good_for(visit).token()
    visit.send(token)
    yield from _answer(visit, target, token)
    yield from _cookies(visit, target)
    yield _return_to(attack, target)
    yield _reflected(target)
    yield _head(attack, target)


def _transport(url: str) -> Finding:
    parts = urlsplit(url)
    if parts.scheme == "https" or is_loopback(parts.hostname or ""):
        return Finding("https", "passed", "tokens travel encrypted, or stay on this machine")
    return Finding("https", "failed", "tokens travel over plain http", "Take tokens over https only.")


def _answer(visit: Visit, target: Target, token: str) -> Iterator[Finding]:
    answer = visit.answer
    kept = answer is not None and "no-store" not in answer.headers.get("Cache-Control", "").lower()
    yield _advise(
        "no_store", not kept, "is not stored by caches", "may be stored by caches", "Send Cache-Control: no-store."
    )
    if any(token in location for location in visit.trail):
        yield Finding(
            "clean_url", "failed", "the redirect carries the token on", "Redirect to a URL without the token."
        )
    elif target.delivery == "query":
        redirects = bool(visit.trail)
        yield _advise(
            "clean_url",
            redirects,
            "leads away from the URL with the token",
            "leaves the token in the address bar and the history",
            "Answer with 303 to a URL without the token.",
        )


def _cookies(visit: Visit, target: Target) -> Iterator[Finding]:
    """Check the flags of the cookies that a valid token sets (RFC 6265, section 4.1.2)."""
    is_https = urlsplit(target.url).scheme == "https"
    for name, flags in sorted(_flags(visit.set_cookies).items()):
        missing = [flag for flag in ("httponly", "samesite", *(["secure"] if is_https else [])) if flag not in flags]
        if missing:
            words = ", ".join(missing)
            yield Finding(
                "cookie_flags", "advice", f"the cookie {name} lacks {words}", "Set these flags for a session."
            )
        else:
            yield Finding("cookie_flags", "passed", f"the cookie {name} has its flags")


def _return_to(attack: Attack, target: Target) -> Finding:
    for spelling in SPELLINGS:
        visit = Visit(target)
        visit.send(attack.good_for(visit).token(), return_to=spelling)
        if any(leads_elsewhere(location, target.url) for location in visit.trail):
            remedy = "Redirect to a path of your own only."
            return Finding("return_to", "failed", f"return_to={spelling!r} leads people to another site", remedy)
    return Finding("return_to", "passed", "return_to does not lead to another site")


def leads_elsewhere(location: str, url: str) -> bool:
    """Tell whether a browser that gets *location* from *url* would go to the site ELSEWHERE, or run a script."""
    read = IGNORED_BY_BROWSERS.sub("", location).replace("\\", "/")
    if read.lower().startswith("javascript:"):
        return True
    read = re.sub(r"^(https?):/*(?=[^/])", r"\1://", read, flags=re.IGNORECASE)
    return urlsplit(urljoin(url, read)).hostname == ELSEWHERE


def _reflected(target: Target) -> Finding:
    """Send markup in place of a token, and look for it on the page."""
    mark = "<b>lychgate-lab</b>"
    visit = Visit(target)
    visit.send(f"eyJ{mark}.x.y")
    if visit.answer is not None and mark.encode() in visit.answer.body:
        return Finding(
            "reflected", "failed", "the page repeats markup from the token as it is", "Escape it, or leave it out."
        )
    return Finding("reflected", "passed", "the page does not repeat markup from the token")


def _head(attack: Attack, target: Target) -> Finding:
    """First send a HEAD request from another browser, as link scanners do; then send the same token."""
    if target.delivery != "query":
        return Finding("head", "skipped", "tokens do not travel in the URL")
    visit = Visit(target)
    token = attack.good_for(visit).token()
    Visit(replace(target, start="")).head(token)
    accepted = attack.accepts(visit, token)
    return _advise(
        "head",
        accepted,
        "is not spent by HEAD",
        "is spent by HEAD",
        "Link scanners send HEAD first: spend nothing then.",
    )


def _flags(set_cookies: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in set_cookies:
        jar: SimpleCookie = SimpleCookie()
        try:
            jar.load(line)
        except CookieError:
            continue
        for name, morsel in jar.items():
            if morsel.value:
                found[name] = {flag for flag in ("httponly", "samesite", "secure") if morsel[flag]}
    return found


def _advise(check: str, holds: bool, good: str, bad: str, remedy: str) -> Finding:
    if holds:
        return Finding(check, "passed", f"a good token {good}")
    return Finding(check, "advice", f"a good token {bad}", remedy)
