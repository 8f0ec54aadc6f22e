"""Run one sign-in at a real identity provider, up to the moment when its token would reach the gateway.

The token is intercepted, so it is not spent, and the gateway opens no session.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import parse_qsl, urlsplit

from shared.outbound import ExchangeFailed
from sp.diagnosis.browsing import Browser, Form, Page, origin_of

MAX_STEPS = 20  # pages from the first to the token
WORDS_OF_A_NAME = ("mail", "user", "login", "name", "account", "identifier")


@dataclass(frozen=True)
class Credentials:
    """The e-mail and password that a person types."""

    email: str
    password: str


@dataclass
class Journey:
    """The steps of a sign-in. `token` is empty if no token came; then `stuck` says where the sign-in stopped.

    - `target` is the URL to which the token was sent, and `parameters` are the other parameters of that request.
    - `carrier` is the response that contained the token.
    - `typed_at` is the index in `pages` of the page that answered the password.
    - `password_sent_on` is the origin to which that page would have made a browser forward the password.
    - `cookies_before` has the values of the cookies when the password was sent.
    """

    pages: list[Page] = field(default_factory=list)
    token: str = ""
    way: str = ""
    target: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    typed_at: int | None = None
    password_sent_on: str = ""
    cookies_before: dict[str, str] = field(default_factory=dict)
    stuck: str = ""

    @property
    def carrier(self) -> Page:
        """The answer that contained the token, or the last answer."""
        return self.pages[-1]

    @property
    def form_page(self) -> Page | None:
        """The page with the password form."""
        return self.pages[self.typed_at - 1] if self.typed_at else None

    @property
    def password_page(self) -> Page | None:
        """The page that answered the password."""
        at = self.typed_at
        return self.pages[at] if at is not None and at < len(self.pages) else None


def travel(browser: Browser, start: str, parameter: str, credentials: Credentials | None) -> Journey:
    """Follow the pages from *start* until a token appears in *parameter*.

    Without *credentials*, send no password form.
    """
    return _travel(browser, start, lambda: browser.open(start), parameter, credentials)


def submit_elsewhere(
    start: str, parameter: str, credentials: Credentials, headers: Mapping[str, str]
) -> Journey | None:
    """Fetch the form at *start* with one browser, and send it from another browser with these *headers*.

    An attacker's site can do the same: its server fetches the form with the hidden fields, and the victim's browser
    sends the form, without the cookies that came with it. Return None if there is no form with a password.
    """
    reader = Browser()
    page = reader.open(start)
    for _ in range(MAX_STEPS):
        form = next((form for form in page.forms if form.first("password")), None)
        if form is not None:
            other = Browser(headers)
            return _travel(
                other, form.action, partial(other.submit, form, **_typed(form, credentials)), parameter, None
            )
        if not page.next:
            break
        page = reader.open(page.next)
    return None


def _travel(
    browser: Browser, start: str, first: Callable[[], Page], parameter: str, credentials: Credentials | None
) -> Journey:
    journey = Journey()
    try:
        page = first()
        for _ in range(MAX_STEPS):
            if journey.typed_at == len(journey.pages) and page.status in (307, 308):
                journey.password_sent_on = origin_of(page.next)
            journey.pages.append(page)
            if _caught(journey, page, parameter):
                return journey
            following = _step(browser, journey, page, credentials)
            if following is None:
                return journey
            page = following
        journey.stuck = f"no token arrived within {MAX_STEPS} pages"
    except ExchangeFailed as error:
        journey.stuck = f"{origin_of(journey.carrier.next or journey.carrier.url) if journey.pages else start}: {error}"
    return journey


def _caught(journey: Journey, page: Page, parameter: str) -> bool:
    """Look for the token in a redirect, and in a form that would post it."""
    parts = urlsplit(page.next)
    for way, text in (("query", parts.query), ("fragment", parts.fragment)):
        values = dict(parse_qsl(text, keep_blank_values=True))
        if parameter in values:
            journey.token, journey.way = values.pop(parameter), way
            journey.target, journey.parameters = page.next.partition("?")[0].partition("#")[0], values
            return True
    for form in page.forms:
        if form.fields.get(parameter):
            target = urlsplit(form.action)
            journey.token, journey.way = form.fields[parameter], "form" if form.method == "POST" else "query"
            journey.target = form.action.partition("?")[0]
            rest = {name: value for name, value in form.fields.items() if name != parameter}
            journey.parameters = {**dict(parse_qsl(target.query)), **rest}
            return True
    return False


def _step(browser: Browser, journey: Journey, page: Page, credentials: Credentials | None) -> Page | None:
    """Do what a person would do with *page*. Returns None if there is no next step; `stuck` then says why."""
    if page.next:
        return browser.open(page.next)
    form = next((form for form in page.forms if form.first("password")), None)
    if form is None:
        return _go_on(browser, journey, page, credentials)
    if credentials is None:
        journey.stuck = "the identity provider asks for a password again"
        return None
    if journey.typed_at is not None:
        journey.stuck = (
            f"the form was shown again with status {page.status}: the e-mail address or the password was rejected"
        )
        return None
    journey.typed_at = len(journey.pages)
    journey.cookies_before = browser.values()
    return browser.submit(form, **_typed(form, credentials))


def _typed(form: Form, credentials: Credentials) -> dict[str, str]:
    typed = {form.first("password") or "": credentials.password}
    if name := _name_field(form):
        typed[name] = credentials.email
    return typed


def _go_on(browser: Browser, journey: Journey, page: Page, credentials: Credentials | None) -> Page | None:
    """Handle a page without a password field.

    If the page asks only for the name, send the name. If it has only one form, which a script would send, send that.
    Otherwise return None; `stuck` then says why.
    """
    if page.status >= 400:
        journey.stuck = f"the identity provider answered {page.status}: {page.title or 'a page without a title'}"
        return None
    for form in page.forms:
        name = _name_field(form)
        if name and credentials is not None and form.method == "POST":
            return browser.submit(form, **{name: credentials.email})
    if len(page.forms) == 1 and not page.forms[0].first("text", "email", "tel", "search"):
        return browser.submit(page.forms[0])
    journey.stuck = f"there is no sign-in form on the page {page.title or page.url.partition('?')[0]!r}"
    return None


def _name_field(form: Form) -> str | None:
    """Return the input for the e-mail address: by its type, otherwise by its name, otherwise the first text input."""
    texts = [name for name, kind in form.kinds.items() if kind == "text"]
    named = (name for name in texts if any(word in name.lower() for word in WORDS_OF_A_NAME))
    return form.first("email") or next(named, None) or next(iter(texts), None)
