"""Grade what one visit to an identity provider brought, or several: each function is about one thing.

What contradicts this provider's settings or endangers people has *failed*; what would only be better is *advice*.
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

GOOD_LIFETIME = 300  # seconds: longer than a slow browser needs, and what a thief has time for
MIN_TOKEN_ID = 16  # characters: 64 bits at least, however they are written
ACCURATE = 5  # seconds that two clocks may differ without a word


@dataclass(frozen=True)
class Visit:
    """One journey, and what its token says if it can be read at all. `received_at` is in seconds since 1970."""

    journey: Journey
    nonce: str
    return_to: str
    received_at: float
    claims: Claims | None


def transport(address: str) -> Finding:
    """Tell whether the way to the provider is safe."""
    if address.startswith("https:"):
        return Finding("https", "passed", "people reach the identity provider over https")
    if is_loopback(urlsplit(address).hostname or ""):
        return Finding("https", "skipped", "it is on this machine, where plain http is no danger")
    remedy = "Use https: passwords and tokens travel on this way."
    return Finding("https", "failed", "people reach the identity provider over plain http", remedy)


def on_the_way(journey: Journey) -> Iterator[Finding]:
    """Look at the pages between the first one and the token."""
    if journey.password_sent_on:
        explanation = f"a redirect with 307 or 308 makes browsers send the password on to {journey.password_sent_on}"
        yield Finding("redirects", "failed", explanation, "Answer a form with 303.")
    else:
        yield Finding("redirects", "passed", "no redirect sends the password on")
    for page in journey.pages:
        if not page.address.startswith("https:") and not is_loopback(urlsplit(page.address).hostname or ""):
            explanation = f"the way leads over plain http at {origin_of(page.address)}"
            yield Finding("way", "failed", explanation, "Use https on the whole way.")
            return
    yield Finding(
        "way", "passed", f"the way leads over {', '.join(sorted({origin_of(p.address) for p in journey.pages}))}"
    )


def delivery(journey: Journey, provider: Provider, expected: Sequence[str]) -> Iterator[Finding]:
    """Look at how the token was sent, and where to."""
    if journey.way in provider.deliveries:
        yield Finding("delivery", "passed", f"the token comes by {journey.way}")
    else:
        explanation = f"the token comes by {journey.way}; allowed: {', '.join(provider.deliveries)}"
        yield Finding("delivery", "failed", explanation, "Change either side.", "delivery_not_allowed")
    if journey.way == "query":
        remedy = "Post it from a form: addresses end up in histories and logs."
        yield Finding("address", "advice", "the token stands in an address", remedy)
    if journey.target in expected:
        yield Finding("target", "passed", f"it goes to {journey.target}")
    else:
        yield Finding("target", "failed", f"it goes to {journey.target}", f"Register {expected[0]} as the return URL.")


def headers(journey: Journey) -> Iterator[Finding]:
    """Look at the headers of the answer with the token."""
    headers = journey.carrier.headers
    yield _advise(
        "no_store",
        "no-store" in headers.get("Cache-Control", "").lower(),
        "the answer with the token is kept by no cache",
        "the answer with the token may be kept by caches",
        "Send Cache-Control: no-store with it.",
    )
    yield _advise(
        "no_referrer",
        headers.get("Referrer-Policy", "").lower() in ("no-referrer", "same-origin", "strict-origin", "origin"),
        "the provider's addresses are not told to others",
        "the address of the provider's page, with its parameters, may be told to us and others",
        "Send Referrer-Policy: no-referrer.",
    )


def content(visit: Visit, provider: Provider, credentials: Credentials) -> Iterator[Finding]:
    """Look at what the token says, beyond the checks of a sign-in."""
    claims = visit.claims
    if claims is None:
        return
    yield _whose(claims, provider, credentials)
    yield from _times(visit, claims)
    if claims.nonce == visit.nonce:
        may_require = "" if provider.require_nonce else "You can require it (require_nonce)."
        yield Finding("nonce", "passed", "the nonce of the request comes back in the token", may_require)
    elif claims.nonce is not None:
        yield Finding("nonce", "failed", "the nonce in the token is not that of the request", code="nonce_mismatch")
    else:
        outcome: Outcome = "failed" if provider.require_nonce else "advice"
        remedy = "Put the parameter nonce of the request into the claim nonce: it binds the token to the browser."
        yield Finding("nonce", outcome, "the nonce of the request does not come back", remedy)
    echoed = visit.journey.parameters.get("return_to") or claims.raw.get("return_to")
    yield _advise(
        "return_to",
        echoed == visit.return_to,
        "return_to comes back",
        "return_to does not come back, so a browser without our cookie lands on the start page",
        "Send the parameter return_to back beside the token.",
    )


def _whose(claims: Claims, provider: Provider, credentials: Credentials) -> Finding:
    try:
        email = read_profile(claims, provider).email
    except Rejection:
        return Finding("person", "skipped", "the token does not say whose it is; see token_profile")
    if email_key(email) == email_key(credentials.email):
        return Finding("person", "passed", "the token is about the person who signed in")
    return Finding("person", "failed", f"the token is about {email}", "Issue it for the person who signed in.")


def _times(visit: Visit, claims: Claims) -> Iterator[Finding]:
    if claims.issued_at is not None:
        off = claims.issued_at - visit.received_at
        yield _advise(
            "clock",
            abs(off) <= ACCURATE,
            "the two clocks agree",
            f"the provider's clock is {abs(off):.0f} seconds {'ahead' if off > 0 else 'behind'}",
            "Let both servers take their time from NTP.",
        )
    if claims.issued_at is not None and claims.expires_at is not None:
        lifetime = claims.expires_at - claims.issued_at
        yield _advise(
            "lifetime",
            0 < lifetime <= GOOD_LIFETIME,
            f"a token lives {lifetime:.0f} seconds",
            f"a token lives {lifetime:.0f} seconds, which a thief could use",
            f"One minute is enough; at most {GOOD_LIFETIME} seconds are good.",
        )


def repeated(visits: Sequence[Visit], provider: Provider) -> Iterator[Finding]:
    """Compare what the visits of one signed-in browser brought."""
    came = [visit for visit in visits if visit.journey.token]
    if len(came) < len(visits):
        stuck = next(visit.journey.stuck for visit in visits if not visit.journey.token)
        remedy = "Who is signed in there should come back without typing anything."
        yield Finding("second_visit", "advice", f"a second visit brought no token: {stuck}", remedy)
    else:
        yield Finding("second_visit", "passed", "who is signed in comes back without typing anything")
    if len(came) < 2:
        return
    ids = [visit.claims.token_id for visit in came if visit.claims and visit.claims.token_id]
    if len({visit.journey.token for visit in came}) < len(came) or len(set(ids)) < len(ids):
        remedy = "Make a new token with a new jti for each request: the second use of one is refused."
        yield Finding(
            "fresh_tokens", "failed", "the same token, or the same jti, was sent twice", remedy, "token_replayed"
        )
    else:
        yield Finding("fresh_tokens", "passed", f"{len(came)} visits brought {len(came)} different tokens")
        yield _advise(
            "token_ids",
            all(len(token_id) >= MIN_TOKEN_ID for token_id in ids) and not _in_sequence(ids),
            "the jti are long and follow no order",
            "the jti are short, or follow one another",
            "Use 128 random bits: two tokens must never have the same jti, and nobody should guess one.",
        )
    if any(visit.claims and visit.claims.nonce not in (None, visit.nonce) for visit in came):
        remedy = "Take the nonce from each request anew."
        yield Finding(
            "fresh_nonce", "failed", "a later visit brought the nonce of another one", remedy, "nonce_mismatch"
        )


def _in_sequence(ids: Sequence[str]) -> bool:
    """Tell whether the ids are numbers that grow by little."""
    if not ids or not all(token_id.isascii() and token_id.isdigit() for token_id in ids):
        return False
    numbers = [int(token_id) for token_id in ids]
    return all(0 < after - before < 1_000_000 for before, after in pairwise(numbers))


def _advise(check: str, holds: bool, good: str, bad: str, remedy: str) -> Finding:
    return Finding(check, "passed", good) if holds else Finding(check, "advice", bad, remedy)
