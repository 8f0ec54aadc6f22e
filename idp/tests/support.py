"""The cast, a clock that a test can set, a browser without a window, and tokens read without our own code."""

from __future__ import annotations

import base64
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from shared.keys import load_key
from shared.tokens import SIGN_OUT_TYPE, sign
from werkzeug.test import Client, TestResponse

from idp.services_file import parse_services

KEY = "the-secret-that-gate-and-provider-share-0123456789"
OTHER_KEY = "a-secret-that-only-the-other-service-knows-98765432"
EVENTS: dict[str, dict[str, str]] = {"http://schemas.openid.net/event/backchannel-logout": {}}


class CompiledTemplates(BytecodeCache):
    """Compiles the templates once in this process, because all applications of the tests have the same templates."""

    def __init__(self) -> None:
        self._compiled: dict[str, Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._compiled.get(f"{bucket.key} {bucket.checksum}")

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._compiled[f"{bucket.key} {bucket.checksum}"] = bucket.code


TEMPLATES = CompiledTemplates()


@dataclass(frozen=True)
class Cast:
    """Someone who types a password."""

    email: str
    password: str


ALICE = Cast("alice@example.com", "looking-glass-1865")  # an ordinary person, of the group staff
BOB = Cast("bob@example.com", "barred-gate-2210")  # disabled
MALLORY = Cast("mallory@example.com", "wolf-at-the-gate-666")  # the attacker, who has an account

GATE: dict[str, Any] = {
    "preset": "lychgate",
    "display_name": "The gate",
    "return_url": "https://gate.example/sso/login/jwt",
    "keys": [KEY],
}


@dataclass
class Clock:
    """The time in seconds since 1970. It changes only if a test changes it."""

    seconds: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.seconds

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds


class Browser:
    """A browser that keeps cookies, and follows no redirects by itself."""

    def __init__(self, app: Flask, address: str = "192.0.2.7", scheme: str = "http") -> None:
        self._app = app
        self._client: Client = app.test_client()
        self._address, self._forwarded_for = address, ""
        self._base = f"{scheme}://localhost"

    def move_to(self, address: str, forwarded_for: str = "") -> None:
        """Use another client IP from now on, with an X-Forwarded-For if one is given."""
        self._address, self._forwarded_for = address, forwarded_for

    def get(self, path: str, **headers: str) -> TestResponse:
        """Ask for a page."""
        return self._client.get(path, base_url=self._base, headers=headers, environ_base=self._environ)

    def head(self, path: str) -> TestResponse:
        """Send a HEAD request."""
        return self._client.head(path, base_url=self._base, environ_base=self._environ)

    def post(self, path: str, **fields: str) -> TestResponse:
        """Send a form with these fields only."""
        return self._client.post(path, base_url=self._base, data=fields, environ_base=self._environ)

    def submit(self, path: str, **fields: str) -> TestResponse:
        """Open a page and send its form, with the hidden field that came with it."""
        return self.post(path, csrf_token=csrf_token(self.get(path)), **fields)

    def sign_in(self, person: Cast = ALICE, service: str = "gate", query: str = "", **fields: str) -> TestResponse:
        """Type the password into the form for *service*, which may be open in another tab after the sign-in."""
        path = f"/login-token/?service={service}{query}"
        form = self.get(path)
        token = csrf_token(self.get("/logout") if form.status_code == 303 else form)
        return self.post(path, csrf_token=token, email=person.email, password=person.password, **fields)

    def send_cookies(self, path: str, header: str) -> TestResponse:
        """Request a page with exactly this Cookie header."""
        return self._app.test_client(use_cookies=False).get(path, headers={"Cookie": header})

    def cookie(self, name: str) -> str | None:
        """Return the value of a cookie."""
        found = self._client.get_cookie(name, domain="localhost")
        return found.value if found else None

    def plant(self, name: str, value: str) -> None:
        """Set a cookie, as an attacker or another tab might."""
        self._client.set_cookie(name, value, domain="localhost")

    @property
    def _environ(self) -> dict[str, str]:
        forwarded = {"HTTP_X_FORWARDED_FOR": self._forwarded_for} if self._forwarded_for else {}
        return {"REMOTE_ADDR": self._address, **forwarded}


def csrf_token(page: TestResponse) -> str:
    """Return the form's hidden field."""
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def words(page: TestResponse) -> str:
    """Return what a person reads on the page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))


def token_in(answer: TestResponse, parameter: str = "jwt") -> str:
    """Return the token that an answer sends on, by redirect or in its form."""
    if answer.status_code == 303:
        return parse_qs(urlsplit(answer.location).query)[parameter][0]
    found = re.search(rf'name="{parameter}" value="([^"]+)"', answer.text)
    assert found, answer.text
    return found[1]


def unverified(token: str, part: int = 1) -> dict[str, Any]:
    """Return the claims of a token, or its header if *part* is 0, without a JWT library."""
    octets = token.split(".")[part]
    content: dict[str, Any] = json.loads(base64.urlsafe_b64decode(octets + "=" * (-len(octets) % 4)))
    return content


def sign_out_token(now: float, key: str = KEY, *, typ: str = SIGN_OUT_TYPE, **claims: Any) -> str:
    """Return a sign-out token as the gate makes it. A claim whose value is None is left out."""
    full = {
        "iss": "https://gate.example",
        "iat": int(now),
        "exp": int(now) + 60,
        "jti": "one-of-the-gates-own",
        "email": ALICE.email,
        "events": EVENTS,
    } | claims
    present = {name: value for name, value in full.items() if value is not None}
    return sign(present, load_key(key, "HS256"), typ=typ)


def register(app: Flask, **tables: dict[str, Any]) -> dict[str, str]:
    """Register services as `services apply` does; return the keys that were made."""
    from idp.stores.registry import SqlRegistry

    with app.app_context():
        registry = app.extensions["idp"].services
        assert isinstance(registry, SqlRegistry)
        return registry.apply(parse_services({"services": tables}, "test.toml"))
