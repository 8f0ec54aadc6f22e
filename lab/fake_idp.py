"""A small identity provider whose faults can be switched on one by one, to test whether a tool finds them."""

import itertools
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from lab.cast import ALICE
from lab.minting import mint
from lab.scripted_server import Handler, ScriptedServer, answer, scripted_server
from shared.clock import time_now

FORM = '<title>Sign in</title><form method="post"><input type="hidden" name="once" value="{once}">{inputs}</form>'
EMAIL = '<input name="email" type="email">'
PASSWORD = '<input name="password" type="password"><button name="go" value="1">Sign in</button>'


class FakeIdp:
    """Signs Alice in. A test changes the attributes to add faults.

    `claims` changes the claims of each token, and `headers` are sent with each token.
    """

    def __init__(self, return_url: str, key: str) -> None:
        self.return_url, self.key = return_url, key
        self.claims: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
        self.headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
        self.parameter = "jwt"
        self.believes_anything = self.posts_the_token = self.remembers_nobody = self.asks_the_name_first = False
        self.echoes_return_to = True
        self.follows_return_to = False
        self.form_headers: dict[str, Any] = {"X_Frame_Options": "DENY"}
        self.cookie = "HttpOnly; SameSite=Lax; Path=/"
        self.believes_other_sites = False
        self.sends_one_token_only = False
        self.redirects_with = 303
        self.inputs = EMAIL + PASSWORD
        self.before: tuple[str, ...] = ()  # paths before the form: each redirects to the next; the last has the form
        self.posted: list[dict[str, str]] = []
        self.numbers = itertools.count(1)
        self._session = secrets.token_hex(8)
        self._stored = ""

    def __call__(self, handler: Handler) -> None:
        parts = urlsplit(handler.path)
        request = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        length = int(handler.headers.get("Content-Length") or 0)
        form = {name: values[-1] for name, values in parse_qs(handler.rfile.read(length).decode()).items()}
        if handler.command == "POST":
            self.posted.append(form)
        if self._step_before(handler, parts.path, parts.query):
            return
        if self._is_signed_in(handler):
            self._send_token(handler, request)
        elif self._knows(form) and self._is_own_form(handler):
            self._send_token(handler, request, Set_Cookie=f"idp={self._session}; {self.cookie}")
        elif self.asks_the_name_first and "email" not in form:
            answer(FORM.format(once="1", inputs=EMAIL), **self.form_headers)(handler)
        elif self.asks_the_name_first:
            hidden = f'<input type="hidden" name="email" value="{escape(form["email"])}">'
            answer(FORM.format(once="2", inputs=hidden + PASSWORD), **self.form_headers)(handler)
        else:
            answer(FORM.format(once="1", inputs=self.inputs), 401 if form else 200, **self.form_headers)(handler)

    def _step_before(self, handler: Handler, path: str, query: str) -> bool:
        steps = ["/keys", *self.before]
        here = steps.index(path) if path in steps else len(steps)
        if here >= len(steps) - 1:
            return False
        answer("", 302, Location=f"{steps[here + 1]}?{query}")(handler)
        return True

    def _is_signed_in(self, handler: Handler) -> bool:
        return not self.remembers_nobody and f"idp={self._session}" in handler.headers.get("Cookie", "")

    def _is_own_form(self, handler: Handler) -> bool:
        """Tell whether the form came from our own page. If it came from another site, Sec-Fetch-Site says so."""
        return self.believes_other_sites or handler.headers.get("Sec-Fetch-Site", "none") != "cross-site"

    def _knows(self, form: dict[str, str]) -> bool:
        if "password" not in form or "once" not in form:
            return False
        name = next((form[field] for field in ("email", "user_login", "field1") if field in form), "")
        return name == ALICE.email and (self.believes_anything or form["password"] == ALICE.password)

    def _send_token(self, handler: Handler, request: dict[str, str], **headers: str) -> None:
        echoed = {"return_to": request["return_to"]} if self.echoes_return_to and "return_to" in request else {}
        target = request["return_to"] if self.follows_return_to else self.return_url
        headers |= {name.replace("-", "_"): value for name, value in self.headers.items()}
        fields = {self.parameter: self._token(request), **echoed}
        if not self.posts_the_token:
            answer("", self.redirects_with, Location=f"{target}?{urlencode(fields)}", **headers)(handler)
            return
        inputs = "".join(f'<input type="hidden" name="{n}" value="{escape(v)}">' for n, v in fields.items())
        answer(f'<form method="post" action="{target}">{inputs}<button>Go on</button></form>', 200, **headers)(handler)

    def _token(self, request: dict[str, str]) -> str:
        now = int(time_now())
        claims = {"iat": now, "exp": now + 60, "jti": secrets.token_hex(16), "email": ALICE.email}
        token = mint(self.claims({**claims, "nonce": request.get("nonce", "")}), self.key)
        self._stored = self._stored or token
        return self._stored if self.sends_one_token_only else token


@contextmanager
def fake_idp(return_url: str, key: str) -> Iterator[tuple[FakeIdp, ScriptedServer]]:
    """Run a FakeIdp on a free port. The `url` of the server is its URL."""
    idp = FakeIdp(return_url, key)
    with scripted_server(idp) as server:
        yield idp, server
