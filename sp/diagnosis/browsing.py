"""Provide a small browser without JavaScript, which opens pages, sends forms and keeps cookies.

It uses a real identity provider as a person would. It does not follow redirects by itself. So the caller sees each
answer, and can stop before a token reaches the gateway.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.client import HTTPMessage
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from shared.outbound import exchange

SECONDS = 15.0  # for one page
MAX_BYTES = 2 * 1024 * 1024  # of one page
REDIRECTS = (301, 302, 303, 307, 308)
_NEVER_SENT = ("submit", "button", "reset", "image", "file")


@dataclass
class Form:
    """A form of a page.

    `kinds` has the type of each input, by its name. `fields` has the values that the form sends if nothing is typed.
    """

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)

    def first(self, *kinds: str) -> str | None:
        """Return the name of the first input of one of these types, or None."""
        return next((name for name, kind in self.kinds.items() if kind in kinds), None)


@dataclass(frozen=True)
class Page:
    """An answer and its URL. `next` is the target of a redirect or an immediate refresh, or empty.

    `text` is the visible text. `seconds` is the time from the request to the end of the answer.
    """

    url: str
    status: int
    headers: HTTPMessage
    next: str
    forms: tuple[Form, ...]
    title: str
    text: str = ""
    seconds: float = 0.0


class Browser:
    """Keeps cookies from page to page. Raises ExchangeFailed if a server does not answer.

    *headers* are sent with each request, in addition to the usual headers of a browser.
    """

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self._cookies = CookieJar()
        self._headers = dict(headers or {})

    @property
    def cookies(self) -> CookieJar:
        """All cookies that were set so far."""
        return self._cookies

    def values(self) -> dict[str, str]:
        """Return the value of each cookie by its name."""
        return {cookie.name: cookie.value or "" for cookie in self._cookies}

    def open(self, url: str) -> Page:
        """Return the page at *url*."""
        return self._ask(url, "GET", None)

    def submit(self, form: Form, **typed: str) -> Page:
        """Send *form* with the values *typed* into it."""
        fields = urlencode({**form.fields, **typed})
        if form.method == "GET":
            return self._ask(f"{form.action.partition('?')[0]}?{fields}", "GET", None)
        return self._ask(form.action, "POST", fields.encode("ascii"))

    def _ask(self, url: str, method: str, body: bytes | None) -> Page:
        url = url.partition("#")[0]
        request = urllib.request.Request(url, method=method)  # noqa: S310  only for the cookies
        self._cookies.add_cookie_header(request)
        headers = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.5", **self._headers}
        if cookie := request.get_header("Cookie"):
            headers["Cookie"] = cookie
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        began = time.monotonic()
        answer = exchange(
            url,
            seconds=SECONDS,
            most_bytes=MAX_BYTES,
            method=method,
            body=body,
            headers=headers,
            http_anywhere=True,
        )
        seconds = time.monotonic() - began
        self._cookies.extract_cookies(_Carrier(answer.headers), request)  # type: ignore[arg-type]
        location = answer.headers.get("Location", "") if answer.status in REDIRECTS else ""
        reader = _Reader(url)
        reader.feed(answer.body.decode("utf-8", "replace"))
        following = urljoin(url, location or reader.refresh)
        is_redirect = bool(location or reader.refresh)
        return Page(
            url,
            answer.status,
            answer.headers,
            following if is_redirect else "",
            tuple(reader.forms),
            reader.title,
            " ".join("".join(reader.texts).split()),
            seconds,
        )


def origin_of(url: str) -> str:
    """Return scheme://host[:port] of *url*."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


@dataclass(frozen=True)
class _Carrier:
    """The part of a response that a cookie jar needs."""

    headers: HTTPMessage

    def info(self) -> HTTPMessage:
        return self.headers


class _Reader(HTMLParser):
    """Reads forms, the title, the text, and an immediate refresh, which acts as a redirect."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._base = url
        self.forms: list[Form] = []
        self.title = self.refresh = ""
        self.texts: list[str] = []
        self._form: Form | None = None
        self._in_title = self._in_code = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        if tag == "form":
            action = urljoin(self._base, values.get("action", ""))
            self._form = Form(action, "POST" if values.get("method", "").lower() == "post" else "GET")
            self.forms.append(self._form)
        elif tag in ("input", "button") and self._form is not None:
            self._input(self._form, values, default="text" if tag == "input" else "submit")
        elif tag == "title":
            self._in_title = True
        elif tag in ("script", "style"):
            self._in_code = True
        elif tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
            delay, _semicolon, target = values.get("content", "").partition(";")
            if delay.strip() == "0" and target.strip().lower().startswith("url="):
                self.refresh = target.strip()[4:].strip("'\" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "title":
            self._in_title = False
        elif tag in ("script", "style"):
            self._in_code = False

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title = (self.title + data).strip()[:200]
        if not self._in_code:
            self.texts.append(f" {data}")

    def _input(self, form: Form, values: dict[str, Any], default: str) -> None:
        name, kind = values.get("name", ""), values.get("type", default).lower() or default
        if not name:
            return
        if kind == "submit" and "submit" not in form.kinds.values():
            form.fields[name] = values.get("value", "")  # the Enter key presses the first button
        elif kind not in _NEVER_SENT and (kind not in ("checkbox", "radio") or "checked" in values):
            form.fields[name] = values.get("value", "on" if kind == "checkbox" else "")
        form.kinds.setdefault(name, kind)
