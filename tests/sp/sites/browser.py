"""A browser that visits several sites of gateways in this process, and plays the identity provider of each person.

It keeps cookies as browsers do: each for the host that set it, whatever the port, and the planted ones for a domain.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from lab.minting import ispring_token
from tests.sp.gateway.gate import Answer, Gate, make_gate
from tests.support.forms import forms_of

KEY = "k" * 48
LOGIN = "https://idp.example/login"
HOME, WIKI, SHOP, DOCS = (
    "https://login.example.org",
    "https://wiki.example.org",
    "https://shop.example.com:8443",
    "https://docs.example.net",
)
FILE = f"""
[sites.wiki]
url = "{WIKI}"
app = "wiki:app"
[sites.shop]
url = "{SHOP}"
app = "shop:app"
[sites.docs]
url = "{DOCS}"
"""
PROVIDER: dict[str, Any] = {"default": True, "keys": [KEY], "login_url": LOGIN, "mapping": {"id": "email"}}
NAVIGATES = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


def make_node(folder: Path, *, file: str = FILE, provider: Mapping[str, Any] | None = None, **settings: Any) -> Gate:
    """Return a gate for home and the sites of *file*. Called again on one folder, it is another node."""
    gate = make_gate(folder, more=file, SP_EXTERNAL_URL=settings.pop("SP_EXTERNAL_URL", HOME), **settings)
    gate.core.provider_store.apply({"corporate": {**PROVIDER, **(provider or {})}}, actor="test")
    return gate


@dataclass
class Seen:
    """Where a visit ended: the URL, the answer, and every URL on the way."""

    url: str
    answer: Answer
    way: list[str]

    @property
    def code(self) -> str:
        """The code on our error page; empty elsewhere."""
        parts = urlsplit(self.url)
        return parse_qs(parts.query).get("code", [""])[0] if parts.path == "/access/jwt/error" else ""

    @property
    def is_reached(self) -> bool:
        """Whether the application of the site answered."""
        return self.answer.body == b"reached"


@dataclass
class Browser:
    """A browser of *email*. *blocks* tells which cookies it does not keep: called with host and name."""

    nodes: list[Gate]
    email: str
    blocks: Callable[[str, str], bool] = lambda _host, _name: False
    jars: dict[str, dict[str, str]] = field(default_factory=dict)
    planted: list[tuple[str, str, str]] = field(default_factory=list)  # domain, name, value
    set_cookies: list[str] = field(default_factory=list)
    tokens: int = 0
    home: str = HOME

    def __post_init__(self) -> None:
        self._turn = cycle(self.nodes)

    def visit(self, url: str, most: int = 12, *, stop: str = "nothing") -> Seen:
        """Open *url* and follow redirects. A URL that contains *stop* is not opened."""
        way = [url]
        for _ in range(most + 1):
            if url.startswith(LOGIN):
                url = self.sign_in_at_provider()
                way.append(url)
                continue
            answer = self.ask(url)
            location = answer.header("Location")
            if location is None:
                return Seen(url, answer, way)
            url = location if "://" in location else self._origin(url) + location
            way.append(url)
            if stop in url:
                return Seen(url, answer, way)
        raise AssertionError(f"more than {most} redirects: {way}")

    def ask(
        self,
        url: str,
        method: str = "GET",
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request, to the nodes in turn, and keep the cookies of the answer."""
        parts = urlsplit(url)
        headers = {**NAVIGATES, "Host": parts.netloc, **(headers or {})}
        if cookie := self.cookie(parts.hostname or ""):
            headers["Cookie"] = cookie
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        answer = next(self._turn).ask(
            parts.path or "/",
            method,
            headers,
            query=parts.query,
            body=urlencode(form).encode() if form is not None else b"",
            **{"wsgi.url_scheme": parts.scheme},
        )
        for name, value in answer.headers:
            if name == "Set-Cookie":
                self._take(parts.hostname or "", value)
        return answer

    def cookie(self, host: str) -> str:
        """Return the Cookie header for *host*."""
        own = [f"{name}={value}" for name, value in self.jars.get(host, {}).items()]
        return "; ".join(
            own + [f"{n}={v}" for domain, n, v in self.planted if host == domain or host.endswith(f".{domain}")]
        )

    def session(self, site: str) -> str | None:
        """Return the id of the session that this browser has at the site with this URL."""
        jar = self.jars.get(urlsplit(site).hostname or "", {})
        return next((value for name, value in jar.items() if "sp_session" in name), None)

    def sign_out(self, site: str) -> Answer:
        """Sign out on the page of a site."""
        (form,) = forms_of(self.ask(f"{site}/logout"))
        return self.ask(f"{site}/logout", "POST", form.fields)

    def is_in(self, site: str) -> bool:
        """Tell whether a page of *site* is shown without a sign-in."""
        return self.ask(f"{site}/page").body == b"reached"

    def sign_in_at_provider(self) -> str:
        """Return the URL with a token to which the provider redirects this browser."""
        self.tokens += 1
        return f"{self.home}/sso/login/jwt?jwt={ispring_token(KEY, self.email)}"

    def _origin(self, url: str) -> str:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc}"

    def _take(self, host: str, cookie: str) -> None:
        self.set_cookies.append(cookie)
        assert "domain=" not in cookie.lower(), cookie
        name, _equals, value = cookie.partition(";")[0].partition("=")
        jar = self.jars.setdefault(host, {})
        if "Max-Age=0" in cookie or not value:
            jar.pop(name, None)
        elif not self.blocks(host, name):
            jar[name] = value
