"""Send a token to a service provider as a browser would, and record the answers.

A new browser sends each token. Redirects are followed only within the service's own origin, so that no other site gets
a request.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPMessage
from http.cookiejar import CookieJar
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from lab.attack.observation import Observation, Page
from shared.outbound import Answer, exchange

Delivery = Literal["query", "form", "header"]
SECONDS = 30.0  # for one answer
MAX_BYTES = 4 * 1024 * 1024  # of one answer
MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Target:
    """A service provider: the URL that accepts tokens, and how to send them.

    `start` is a URL that begins a sign-in, for a service that accepts only solicited tokens. `page` is a URL that only
    signed-in people see. If `page` is empty, the page on which a valid token ends is requested in its place.
    """

    url: str
    parameter: str = "jwt"
    delivery: Delivery = "query"
    start: str = ""
    page: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class Visit:
    """One browser at the service.

    `asked` are the parameters of the service's request to the identity provider: nonce and return_to. `answer` is the
    answer to the last token. `trail` has the Location header of every redirect on the way, unchanged, and `set_cookies`
    has every Set-Cookie header. Neither has those of the requests that begin at `start`. Raises ExchangeFailed if the
    service does not answer.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._jar = CookieJar()
        self._set: set[str] = set()
        self.asked: dict[str, str] = {}
        self.answer: Answer | None = None
        self.trail: list[str] = []
        self.set_cookies: list[str] = []
        if target.start:
            self._follow(target.start)
            self._forget_what_was_set()  # only cookies that a token sets count

    def send(self, token: str, page: str = "", **fields: str) -> Observation:
        """Send *token* with further *fields*, follow the redirects, and then request *page*."""
        echoed = {"return_to": self.asked["return_to"]} if "return_to" in self.asked else {}
        answer, end = self._deliver(token, {**echoed, **fields})
        self.answer = answer
        probe = _page(self._ask(page), page) if page else None
        return Observation(_page(answer, self._target.url), frozenset(self._set), end, probe)

    def head(self, token: str) -> None:
        """Send a HEAD request for the URL with *token* in its query."""
        self._ask(with_query(self._target.url, {self._target.parameter: token}), "HEAD")

    def _forget_what_was_set(self) -> None:
        self._set.clear()
        self.set_cookies.clear()
        self.trail.clear()

    def _deliver(self, token: str, fields: Mapping[str, str]) -> tuple[Answer, str]:
        target = self._target
        carried = {**fields, target.parameter: token}
        if target.delivery == "form":
            body = urlencode(carried).encode("ascii")
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            return self._follow(target.url, method="POST", body=body, headers=kind)
        if target.delivery == "header":
            plain = " ".join(token.split("\n"))  # a header has one line
            return self._follow(with_query(target.url, fields), headers={"Authorization": f"Bearer {plain}"})
        return self._follow(with_query(target.url, carried))

    def _follow(
        self, url: str, *, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[Answer, str]:
        """Return the first answer, and the URL on which it ends."""
        first = answer = self._ask(url, method, body, headers)
        for _ in range(MAX_REDIRECTS):
            following = _location(answer, url)
            if not following:
                break
            self._note_what_is_asked(following)
            if origin_of(following) != origin_of(self._target.url):
                break
            url = following
            answer = self._ask(url)
        return first, url

    def _note_what_is_asked(self, url: str) -> None:
        query = dict(parse_qsl(urlsplit(url).query))
        self.asked |= {name: query[name] for name in ("nonce", "return_to") if name in query}

    def _ask(
        self, url: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        url = url.partition("#")[0]
        request = urllib.request.Request(url, method=method)  # noqa: S310  only carries the cookies
        self._jar.add_cookie_header(request)
        sent = {"Accept": "text/html,*/*;q=0.5", **self._target.headers, **(headers or {})}
        if cookie := request.get_header("Cookie"):
            sent["Cookie"] = cookie
        answer = exchange(
            url, seconds=SECONDS, most_bytes=MAX_BYTES, method=method, body=body, headers=sent, http_anywhere=True
        )
        before = _pairs(self._jar)
        self._jar.extract_cookies(_Carrier(answer.headers), request)  # type: ignore[arg-type]
        self._set |= {name for name, value in _pairs(self._jar) - before if value}
        self.set_cookies += answer.headers.get_all("Set-Cookie", [])
        if _location(answer, url):
            self.trail.append(answer.headers["Location"])
        return answer


def with_query(url: str, fields: Mapping[str, str]) -> str:
    """Return *url* with *fields* added to its query."""
    if not fields:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(fields)}"


def origin_of(url: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port of *url*."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _location(answer: Answer, url: str) -> str:
    where: str = answer.headers.get("Location", "") if answer.status in REDIRECTS else ""
    return urljoin(url, where) if where else ""


def _page(answer: Answer, url: str) -> Page:
    return Page(answer.status, _plain(_location(answer, url)), answer.body.decode("utf-8", "replace"))


def _plain(url: str) -> str:
    """Return *url* without the values of its query, because values such as a reference change at each visit."""
    parts = urlsplit(url)
    names = "&".join(sorted(name for name, _value in parse_qsl(parts.query, keep_blank_values=True)))
    return f"{parts.scheme}://{parts.netloc}{parts.path}?{names}" if url else ""


def _pairs(jar: CookieJar) -> set[tuple[str, str]]:
    return {(cookie.name, cookie.value or "") for cookie in jar}


@dataclass(frozen=True)
class _Carrier:
    """The part of an answer that a cookie jar needs."""

    headers: HTTPMessage

    def info(self) -> HTTPMessage:
        return self.headers
