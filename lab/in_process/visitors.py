"""Sign a person in with the test's library: Playwright's page, Selenium's driver, a client of httpx or requests.

Such an object is called a visitor here. Its type shows the library, so no library is imported. If a visitor is already
signed in, its session is replaced.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from lab.cast import Person
from lab.in_process.made_session import HOST, MOST_STEPS, MadeSession, refused
from lab.pages import forms_of

WAIT_SECONDS = 15  # for a page, on a busy machine
LOOK_SECONDS = 0.02
ERROR_PAGE = "/access/jwt/error"
OURS = ("sp_session", "idp_session")
OTHERS = "sign_in takes Playwright's page (of playwright.sync_api), Selenium's driver, httpx.Client or requests.Session"


def sign_in_by_form(visitor: Any, sp_url: str, person: Person, path: str) -> None:
    """Follow every redirect, and type the password. Raises SignInFailed, or TypeError for another kind of visitor."""
    start = f"{sp_url}/sso/start?{urlencode({'return_to': path})}"
    _BY_FORM[kind_of(visitor)](visitor, start, sp_url, person)


def give_session(visitor: Any, sp_url: str, made: MadeSession, path: str) -> None:
    """Give the session to the visitor, and open *path* if the visitor is a browser.

    Raises TypeError for another kind of visitor.
    """
    _BY_COOKIE[kind_of(visitor)](visitor, sp_url + path, made)


def kind_of(visitor: Any) -> str:
    """Return the library of *visitor*. Raises TypeError."""
    libraries = {cls.__module__.partition(".")[0] for cls in type(visitor).__mro__}
    for library, method in (("playwright", "goto"), ("selenium", "add_cookie"), ("httpx", "get"), ("requests", "get")):
        if library not in libraries or not hasattr(visitor, method):
            continue
        if inspect.iscoroutinefunction(getattr(visitor, method)):
            raise TypeError(f"{OTHERS}; give an asynchronous one the cookies of lychgate.session(person)")
        return library
    raise TypeError(f"{OTHERS}; not {type(visitor).__module__}.{type(visitor).__qualname__}")


def _with_playwright(page: Any, start: str, sp_url: str, person: Person) -> None:
    for name in OURS:
        page.context.clear_cookies(name=name)
    page.goto(start, wait_until="commit")  # each step waits for its own element
    page.get_by_label("E-mail").fill(person.email)
    page.get_by_label("Password").fill(person.password)
    page.get_by_label("Password").press("Enter")
    page.wait_for_url(lambda url: url.startswith(f"{sp_url}/"))
    _check(page.url)


def _with_selenium(driver: Any, start: str, sp_url: str, person: Person) -> None:
    driver.get(f"{sp_url}/healthz")  # Selenium sets cookies only for the open page
    for name in OURS:
        driver.delete_cookie(name)
    driver.get(start)
    driver.find_element("name", "email").send_keys(person.email)
    password = driver.find_element("name", "password")
    password.send_keys(person.password)
    password.submit()
    deadline = time.monotonic() + WAIT_SECONDS
    while not driver.current_url.startswith(f"{sp_url}/"):
        if time.monotonic() > deadline:
            raise refused(driver.current_url)
        time.sleep(LOOK_SECONDS)
    _check(driver.current_url)


def _with_httpx(client: Any, start: str, sp_url: str, person: Person) -> None:
    _with_client(client, lambda *args, **more: client.request(*args, follow_redirects=False, **more), start, person)


def _with_requests(session: Any, start: str, sp_url: str, person: Person) -> None:
    _with_client(session, lambda *args, **more: session.request(*args, allow_redirects=False, **more), start, person)


def _with_client(client: Any, ask: Callable[..., Any], start: str, person: Person) -> None:
    for cookie in [cookie for cookie in _jar(client) if cookie.name in OURS]:
        _jar(client).clear(cookie.domain, cookie.path, cookie.name)
    method, url, form = "GET", start, None
    for _ in range(MOST_STEPS):
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        answer = ask(method, url, data=form, headers={"Accept": "text/html", "Origin": origin})
        if any(cookie.name == OURS[0] for cookie in _jar(client)):
            return
        location = answer.headers.get("location")
        forms = [] if location else forms_of(answer.text)
        if location:
            method, url, form = "GET", urljoin(url, location), None
        elif answer.status_code == 200 and forms:
            filled = {"email": person.email, forms[0].password: person.password} if forms[0].password else {}
            method, url, form = "POST", urljoin(url, forms[0].action), {**forms[0].fields, **filled}
        else:
            break
    raise refused(url, answer.status_code)


def _give_to_playwright(page: Any, url: str, made: MadeSession) -> None:
    page.context.add_cookies(made.for_playwright)
    page.goto(url)


def _give_to_selenium(driver: Any, url: str, made: MadeSession) -> None:
    driver.get("{0.scheme}://{0.netloc}/healthz".format(urlsplit(url)))
    for name, value in made.cookies.items():
        driver.add_cookie({"name": name, "value": value, "path": "/", "httpOnly": True, "sameSite": "Lax"})
    driver.get(url)


def _give_to_client(client: Any, url: str, made: MadeSession) -> None:
    for name, value in made.cookies.items():
        client.cookies.set(name, value, domain=HOST, path="/")


def _jar(client: Any) -> Any:
    """Return the http.cookiejar.CookieJar: requests uses one directly, and httpx wraps one."""
    return getattr(client.cookies, "jar", client.cookies)


def _check(url: str) -> None:
    if urlsplit(url).path == ERROR_PAGE:
        raise refused(url)


_BY_FORM: dict[str, Callable[[Any, str, str, Person], None]] = {
    "playwright": _with_playwright,
    "selenium": _with_selenium,
    "httpx": _with_httpx,
    "requests": _with_requests,
}
_BY_COOKIE: dict[str, Callable[[Any, str, MadeSession], None]] = {
    "playwright": _give_to_playwright,
    "selenium": _give_to_selenium,
    "httpx": _give_to_client,
    "requests": _give_to_client,
}
