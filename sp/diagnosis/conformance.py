"""Sign in at an identity provider as a person would, and check what it sends.

The check has four parts:

1. visits with a wrong password, and with an e-mail that the provider does not know;
2. a visit in which a page of another site sends the sign-in form;
3. a visit that signs in;
4. more visits in the browser that part 3 signed in.

The tokens never reach the gateway itself, so no token is spent and no session is opened here.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from shared.claims import Claims
from shared.clock import time_now
from shared.errors import Rejection
from shared.keys import KeySet
from shared.outbound import ExchangeFailed
from shared.tokens import read_object, take_apart
from sp.diagnosis import form_grades, grades
from sp.diagnosis.browsing import Browser
from sp.diagnosis.grades import Visit
from sp.diagnosis.inspector import Finding, inspect
from sp.diagnosis.journey import Credentials, Journey, submit_elsewhere, travel
from sp.providers.provider import Provider
from sp.redirects import add_query

VISITS = 4  # in the signed-in browser, to compare their tokens
RETURN_PATH = "/lychgate-check"
ELSEWHERE = "https://elsewhere.invalid/stolen"  # a reserved name: RFC 6761, section 6.4


def check_idp(
    provider: Provider, keys: KeySet | None, credentials: Credentials, gateway_url: str, token_paths: Sequence[str]
) -> list[Finding]:
    """Return the findings about *provider*.

    *gateway_url* is the URL of the gateway. The provider must send tokens to one of the *token_paths* at this URL.
    """
    return list(_check(provider, keys, credentials, gateway_url, token_paths))


def grade(findings: Sequence[Finding]) -> str:
    """Return F if a check failed, B if a check gives advice, and otherwise A."""
    outcomes = {finding.outcome for finding in findings}
    return "F" if "failed" in outcomes else "B" if "advice" in outcomes else "A"


def _check(
    provider: Provider, keys: KeySet | None, credentials: Credentials, gateway_url: str, token_paths: Sequence[str]
) -> Iterator[Finding]:
    if not provider.login_url:
        yield Finding(
            "login_url", "failed", "this provider has no login_url", "Set it to the URL where people sign in."
        )
        return
    yield grades.transport(provider.login_url)
    yield from _without_the_password(provider, credentials, gateway_url)
    yield _form_of_another_site(provider, credentials, gateway_url)

    browser = Browser()
    first = _visit(browser, provider, credentials, gateway_url + RETURN_PATH)
    yield _signed_in(first)
    if not first.journey.token:
        return
    yield from grades.on_the_way(first.journey)
    yield from form_grades.form(first.journey)
    yield from form_grades.session(first.journey, browser)
    yield from grades.delivery(first.journey, provider, [gateway_url + path for path in token_paths])
    yield from grades.headers(first.journey)
    found = inspect(first.journey.token, provider, keys, first.received_at)
    yield from (replace(finding, check=f"token_{finding.check}") for finding in found)
    yield from grades.content(first, provider, credentials)

    later = [_visit(browser, provider, None, gateway_url + RETURN_PATH) for _ in range(VISITS)]
    yield from grades.repeated([first, *later], provider)
    yield _foreign_return(browser, provider)
    if later[-1].journey.token:
        yield _unsigned_sign_out(browser, provider, credentials, gateway_url)


def _visit(browser: Browser, provider: Provider, credentials: Credentials | None, return_to: str) -> Visit:
    nonce = secrets.token_urlsafe(24)
    start = _start(provider, return_to, nonce)
    journey = travel(browser, start, provider.token_parameter, credentials)
    return Visit(journey, nonce, return_to, time_now(), _read(journey.token, provider))


def _start(provider: Provider, return_to: str, nonce: str = "") -> str:
    return add_query(provider.login_url, return_to=return_to, nonce=nonce or secrets.token_urlsafe(24))


def _read(token: str, provider: Provider) -> Claims | None:
    """Return the content of *token*, without trusting it."""
    try:
        payload = read_object(take_apart(token).payload, "payload")
        return Claims.parse(payload, numeric_token_id=provider.numeric_token_id)
    except Rejection:
        return None


def _without_the_password(provider: Provider, credentials: Credentials, gateway_url: str) -> Iterator[Finding]:
    """Visit the provider with a wrong password, and with an e-mail that it does not know."""
    domain = credentials.email.rpartition("@")[2]
    emails = (credentials.email, f"nobody-{secrets.token_hex(6)}@{domain}")

    def guess(email: str) -> Journey:
        wrong = Credentials(email, secrets.token_urlsafe(16))
        return _visit(Browser(), provider, wrong, gateway_url + RETURN_PATH).journey

    known = guess(credentials.email)
    yield _wrong_password(known)
    if not known.token and known.typed_at is not None:
        yield from form_grades.guesses(known, guess, emails)


def _wrong_password(journey: Journey) -> Finding:
    if journey.token:
        return Finding(
            "wrong_password",
            "failed",
            "a wrong password brought a token",
            "Verify the password before you issue a token.",
        )
    if journey.typed_at is None:
        return Finding("wrong_password", "skipped", f"this could not be tested: {journey.stuck}")
    return Finding("wrong_password", "passed", "a wrong password brings no token")


def _form_of_another_site(provider: Provider, credentials: Credentials, gateway_url: str) -> Finding:
    site = f"https://{urlsplit(ELSEWHERE).hostname}"
    headers = {"Origin": site, "Referer": f"{site}/", "Sec-Fetch-Site": "cross-site"}
    start = _start(provider, gateway_url + RETURN_PATH)
    try:
        journey = submit_elsewhere(start, provider.token_parameter, credentials, headers)
    except ExchangeFailed as error:
        return Finding("form_csrf", "skipped", f"this could not be tested: {error}")
    return form_grades.other_site(journey)


def _unsigned_sign_out(browser: Browser, provider: Provider, credentials: Credentials, gateway_url: str) -> Finding:
    if not provider.logout_url:
        return Finding("sign_out_signature", "skipped", "no logout_url is known, so no sign-out was tested")
    try:
        browser.open(form_grades.unsigned_sign_out(provider.logout_url, credentials.email))
    except ExchangeFailed as error:
        return Finding("sign_out_signature", "skipped", f"this could not be tested: {error}")
    return form_grades.after_sign_out(_visit(browser, provider, None, gateway_url + RETURN_PATH).journey)


def _signed_in(visit: Visit) -> Finding:
    journey = visit.journey
    if journey.token:
        return Finding("sign_in", "passed", f"a token arrived after {len(journey.pages)} pages")
    remedy = "Try it in a browser. This command cannot use pages that need JavaScript."
    return Finding("sign_in", "failed", journey.stuck, remedy)


def _foreign_return(browser: Browser, provider: Provider) -> Finding:
    journey = _visit(browser, provider, None, ELSEWHERE).journey
    hosts = [urlsplit(page.next).hostname for page in journey.pages] + [urlsplit(journey.target).hostname]
    if urlsplit(ELSEWHERE).hostname in hosts:
        remedy = "Send tokens only to the registered URL, whatever the request says."
        return Finding(
            "foreign_return",
            "failed",
            "a return_to on another site redirects people, or the token itself, to that site",
            remedy,
        )
    return Finding("foreign_return", "passed", "a return_to on another site is not followed")
