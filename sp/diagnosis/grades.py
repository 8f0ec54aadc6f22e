"""Grade the results of one or several visits to an identity provider: each function grades one aspect.

A result has *failed* if it contradicts the provider's settings or endangers people. A possible improvement is *advice*.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlsplit

from shared.claims import Claims
from shared.errors import Rejection
from shared.settings import is_loopback
from sp.accounts.provisioning import read_profile
from sp.diagnosis.browsing import origin_of
from sp.diagnosis.inspector import Finding, Outcome
from sp.diagnosis.journey import Credentials, Journey
from sp.emails import email_key
from sp.providers.provider import Provider

GOOD_LIFETIME = 300  # seconds: enough for a slow browser, and little time for a thief
MIN_TOKEN_ID = 16  # characters: at least 64 bits, in any encoding
ACCURATE = 5  # seconds that two clocks may differ without advice


@dataclass(frozen=True)
class Visit:
    """One journey, and the content of its token if it can be parsed. `received_at` is in seconds since 1970."""

    journey: Journey
    nonce: str
    return_to: str
    received_at: float
    claims: Claims | None


def transport(url: str) -> Finding:
    """Grade the connection to the provider."""
    if url.startswith("https:"):
        return Finding("https", "passed", "people reach the identity provider over https")
    if is_loopback(urlsplit(url).hostname or ""):
        return Finding("https", "skipped", "it is on this machine, where plain http is safe")
    remedy = "Use https: passwords and tokens are sent over this connection."
    return Finding("https", "failed", "people reach the identity provider over plain http", remedy)


def on_the_way(journey: Journey) -> Iterator[Finding]:
    """Grade the pages between the first one and the token."""
    if journey.password_sent_on:
        explanation = f"a redirect with 307 or 308 makes browsers resend the password to {journey.password_sent_on}"
        yield Finding("redirects", "failed", explanation, "Redirect with 303 after a form.")
    else:
        yield Finding("redirects", "passed", "no redirect resends the password")
    for page in journey.pages:
        if not page.url.startswith("https:") and not is_loopback(urlsplit(page.url).hostname or ""):
            explanation = f"a page on the way is on plain http: {origin_of(page.url)}"
            yield Finding("way", "failed", explanation, "Use https for every page.")
            return
    yield Finding("way", "passed", f"pages visited on {', '.join(sorted({origin_of(p.url) for p in journey.pages}))}")


def delivery(journey: Journey, provider: Provider, expected: Sequence[str]) -> Iterator[Finding]:
    """Grade how the token was sent, and to which URL."""
    if journey.way in provider.deliveries:
        yield Finding("delivery", "passed", f"the token arrives by {journey.way}")
    else:
        explanation = f"the token arrives by {journey.way}; allowed: {', '.join(provider.deliveries)}"
        yield Finding(
            "delivery",
            "failed",
            explanation,
            "Change the delivery at the identity provider, or the setting deliveries here.",
            "delivery_not_allowed",
        )
    if journey.way == "query":
        remedy = "Post it from a form: URLs end up in browser histories and logs."
        yield Finding("address", "advice", "the token is in a URL", remedy)
    if journey.target in expected:
        yield Finding("target", "passed", f"the token is sent to {journey.target}")
    else:
        yield Finding(
            "target", "failed", f"the token is sent to {journey.target}", f"Register {expected[0]} as the return URL."
        )


def headers(journey: Journey) -> Iterator[Finding]:
    """Grade the headers of the response with the token."""
    headers = journey.carrier.headers
    yield _advise(
        "no_store",
        "no-store" in headers.get("Cache-Control", "").lower(),
        "the response with the token is not cached",
        "caches may store the response with the token",
        "Send Cache-Control: no-store with it.",
    )
    yield _advise(
        "no_referrer",
        headers.get("Referrer-Policy", "").lower() in ("no-referrer", "same-origin", "strict-origin", "origin"),
        "the Referrer-Policy hides the provider's URLs from other sites",
        "the Referer header may show the URL of the provider's page, with its parameters, to us and to other sites",
        "Send Referrer-Policy: no-referrer.",
    )


def content(visit: Visit, provider: Provider, credentials: Credentials) -> Iterator[Finding]:
    """Grade the content of the token, beyond the checks of a sign-in."""
    claims = visit.claims
    if claims is None:
        return
    yield _whose(claims, provider, credentials)
    yield from _times(visit, claims)
    if claims.nonce == visit.nonce:
        may_require = "" if provider.require_nonce else "You can require it (require_nonce)."
        yield Finding("nonce", "passed", "the token contains the nonce of the request", may_require)
    elif claims.nonce is not None:
        yield Finding(
            "nonce", "failed", "the nonce in the token differs from the nonce of the request", code="nonce_mismatch"
        )
    else:
        outcome: Outcome = "failed" if provider.require_nonce else "advice"
        remedy = "Copy the request parameter nonce to the claim nonce: it binds the token to the browser."
        yield Finding("nonce", outcome, "the token does not contain the nonce of the request", remedy)
    echoed = visit.journey.parameters.get("return_to") or claims.raw.get("return_to")
    yield _advise(
        "return_to",
        echoed == visit.return_to,
        "return_to is sent back",
        "return_to is not sent back, so a browser without our cookie lands on the start page",
        "Send the parameter return_to back with the token.",
    )


def _whose(claims: Claims, provider: Provider, credentials: Credentials) -> Finding:
    try:
        email = read_profile(claims, provider).email
    except Rejection:
        return Finding("person", "skipped", "the token does not identify a person; see token_profile")
    if email_key(email) == email_key(credentials.email):
        return Finding("person", "passed", "the token is for the person who signed in")
    return Finding("person", "failed", f"the token is for {email}", "Issue it for the person who signed in.")


def _times(visit: Visit, claims: Claims) -> Iterator[Finding]:
    if claims.issued_at is not None:
        off = claims.issued_at - visit.received_at
        yield _advise(
            "clock",
            abs(off) <= ACCURATE,
            "the two clocks agree",
            f"the provider's clock is {abs(off):.0f} seconds {'ahead' if off > 0 else 'behind'}",
            "Synchronise both servers with NTP.",
        )
    if claims.issued_at is not None and claims.expires_at is not None:
        lifetime = claims.expires_at - claims.issued_at
        yield _advise(
            "lifetime",
            0 < lifetime <= GOOD_LIFETIME,
            f"a token is valid for {lifetime:.0f} seconds",
            f"a token is valid for {lifetime:.0f} seconds, long enough to be stolen and used",
            f"One minute is enough; use at most {GOOD_LIFETIME} seconds.",
        )


def repeated(visits: Sequence[Visit], provider: Provider) -> Iterator[Finding]:
    """Compare the tokens from several visits of one signed-in browser."""
    came = [visit for visit in visits if visit.journey.token]
    if len(came) < len(visits):
        stuck = next(visit.journey.stuck for visit in visits if not visit.journey.token)
        remedy = "People who are signed in there should return without typing anything."
        yield Finding("second_visit", "advice", f"a second visit brought no token: {stuck}", remedy)
    else:
        yield Finding("second_visit", "passed", "a signed-in person returns without typing anything")
    if len(came) < 2:
        return
    ids = [visit.claims.token_id for visit in came if visit.claims and visit.claims.token_id]
    if len({visit.journey.token for visit in came}) < len(came) or len(set(ids)) < len(ids):
        remedy = "Create a new token with a new jti for each request: a second use is rejected."
        yield Finding(
            "fresh_tokens", "failed", "the same token, or the same jti, was sent twice", remedy, "token_replayed"
        )
    else:
        yield Finding("fresh_tokens", "passed", f"{len(came)} visits brought {len(came)} different tokens")
        yield _advise(
            "token_ids",
            all(len(token_id) >= MIN_TOKEN_ID for token_id in ids) and not _in_sequence(ids),
            "the jti values are long and not sequential",
            "the jti values are short or sequential",
            "Use 128 random bits: a jti must be unique and impossible to guess.",
        )
    if any(visit.claims and visit.claims.nonce not in (None, visit.nonce) for visit in came):
        remedy = "Take the nonce from the current request each time."
        yield Finding(
            "fresh_nonce", "failed", "a later visit brought the nonce of an earlier one", remedy, "nonce_mismatch"
        )


def _in_sequence(ids: Sequence[str]) -> bool:
    """Tell whether the ids are numbers that grow in small steps."""
    if not ids or not all(token_id.isascii() and token_id.isdigit() for token_id in ids):
        return False
    numbers = [int(token_id) for token_id in ids]
    return all(0 < after - before < 1_000_000 for before, after in pairwise(numbers))


def _advise(check: str, holds: bool, good: str, bad: str, remedy: str) -> Finding:
    return Finding(check, "passed", good) if holds else Finding(check, "advice", bad, remedy)
