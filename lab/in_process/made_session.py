"""Sign a person in at once, with the redirects, tokens and checks of a browser, but without network, form and password.

So an application sees the same as after a sign-in with a password, and a sign-out at the gateway or at the identity
provider ends the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from werkzeug.test import Client, TestResponse

from idp import cookies as idp_cookies
from idp.stores import sessions as idp_sessions
from lab.pages import forms_of
from sp.sessions.cookies import NAME as SP_SESSION

if TYPE_CHECKING:
    from lab.in_process.programs import Programs

HOST = "127.0.0.1"
HEADERS = {"Accept": "text/html", "User-Agent": "lychgate lab"}
MOST_STEPS = 10  # of a sign-in; it takes three


class SignInFailed(AssertionError):
    """The sign-in did not end with a session. `code` is the gateway's error code, if it gave one."""

    def __init__(self, why: str, code: str = "") -> None:
        self.code = code
        super().__init__(why)


@dataclass(frozen=True)
class MadeSession:
    """The signed-in person, and the cookies of both programs. The cookies are valid for every port of HOST."""

    email: str
    cookies: Mapping[str, str]

    @property
    def header(self) -> str:
        """The Cookie header of a browser with this session."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    @property
    def for_playwright(self) -> list[Any]:
        """The cookies in the form of Playwright's `BrowserContext.add_cookies`, in any language."""
        flags = {"domain": HOST, "path": "/", "httpOnly": True, "sameSite": "Lax"}
        return [{"name": name, "value": value, **flags} for name, value in self.cookies.items()]


def make_session(programs: Programs, email: str) -> MadeSession:
    """Return a new session of the person *email*. Raises SignInFailed with the reason."""
    browser = Client(programs.both)
    browser.set_cookie(idp_cookies.SESSION, _open_at_identity_provider(programs, email), domain=HOST)
    url, form = f"{programs.sp_url}/sso/start?{urlencode({'return_to': '/'})}", None
    for _ in range(MOST_STEPS):
        answer = _ask(browser, url, form)
        if (cookie := browser.get_cookie(SP_SESSION, domain=HOST)) is not None:
            at_provider = browser.get_cookie(idp_cookies.SESSION, domain=HOST)
            kept = {idp_cookies.SESSION: at_provider.value} if at_provider else {}
            return MadeSession(email, {SP_SESSION: cookie.value, **kept})
        if answer.location:
            url, form = urljoin(url, answer.location), None
        elif answer.status_code == 200 and (forms := forms_of(answer.text)):
            url, form = urljoin(url, forms[0].action), forms[0].fields
        else:
            break
    raise refused(url, answer.status_code)


def refused(url: str, status: int | None = None) -> SignInFailed:
    """Return the exception for a sign-in that ended at *url*."""
    code = parse_qs(urlsplit(url).query).get("code", [""])[0]
    answered = f" with status {status}" if status else ""
    return SignInFailed(f"the sign-in ended at {url.partition('?')[0]}{answered}: {code or 'no error code'}", code)


def _open_at_identity_provider(programs: Programs, email: str) -> str:
    with programs.in_identity_provider() as parts:
        person = parts.people.find(email)
        if person is None:
            raise SignInFailed(f"{email} does not exist at the identity provider, or is disabled: add_person first")
        return idp_sessions.open_session(person, stay=False)[0]


def _ask(browser: Client, url: str, form: Mapping[str, str] | None) -> TestResponse:
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    return browser.open(
        f"{parts.path}?{parts.query}" if parts.query else parts.path,
        base_url=origin,
        method="GET" if form is None else "POST",
        data=form,
        headers=HEADERS,
        environ_overrides={"REMOTE_ADDR": HOST},
    )
