"""Every code of docs/protocol.md is reached over HTTP, by a program that reads JSON and by a browser.

Each refusal starts from a sign-in that would succeed. `rate_limited` is about passwords:
tests/sp/signin/test_throttling.py.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from lab.cast import ALICE, BOB
from lab.forging import ORDERS, encode, forge, key_for
from lab.ports import free_port
from shared.errors import REJECTIONS
from sp.database.models import Account
from sp.views.refusals import REFERENCE
from tests.attacks.case import AUDIENCE, ISSUER
from tests.support.gateway import core_of, make_gateway

KEY = key_for("HS256")
CORPORATE: dict[str, Any] = {
    "keys": [KEY.secret],
    "default": True,
    "login_url": "https://idp.example.com/login-token/",
    "issuer": {"expected": ISSUER, "required": True},
    "audience": {"expected": AUDIENCE, "required": True},
    "mapping": {"id": "sub"},
    "unsolicited": "accept",
}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    unreachable = f"http://127.0.0.1:{free_port()}/jwks.json"
    providers = {
        "corporate": CORPORATE,
        "closed": CORPORATE | {"default": False, "auto_create": False},
        "domains": CORPORATE | {"default": False, "email_domains": ["example.org"]},
        "asked": CORPORATE | {"default": False, "unsolicited": "refuse"},
        "nonce": CORPORATE | {"default": False, "require_nonce": True},
        "restart": CORPORATE | {"default": False, "unsolicited": "restart"},
        "form": CORPORATE | {"default": False, "deliveries": ["form"]},
        "off": CORPORATE | {"default": False, "enabled": False},
        "remote": CORPORATE | {"default": False, "keys": [], "algorithm": "RS256", "jwks_url": unreachable},
    }
    made = make_gateway(tmp_path, providers, SP_SEAT_LIMIT="2")
    yield made
    core_of(made).database.engine.dispose()


class Sender:
    """Delivers tokens, as a program or as a browser."""

    def __init__(self, app: Flask, as_json: bool) -> None:
        self.app, self.client = app, app.test_client()
        self.headers = {"Accept": "application/json" if as_json else "text/html"}

    def get(self, provider: str = "", /, header: dict[str, Any] | None = None, **claims: Any) -> TestResponse:
        """Deliver a good token with *claims* set; None leaves one out."""
        return self.deliver(provider, token(header, **claims))

    def deliver(self, provider: str, text: str | None) -> TestResponse:
        address = f"/sso/login/jwt/{provider}".rstrip("/")
        return self.client.get(address, query_string={"jwt": text} if text is not None else {}, headers=self.headers)


def token(header: dict[str, Any] | None = None, /, **claims: Any) -> str:
    now = int(time.time())
    whole = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 60, "email": ALICE.email}
    whole |= {"jti": str(time.perf_counter_ns()), **claims}
    payload = {name: value for name, value in whole.items() if value is not None}
    return forge(header or {"typ": "JWT", "alg": "HS256"}, payload, KEY.sign)


def ago(seconds: float) -> int:
    return int(time.time() - seconds)


def disabled(sender: Sender) -> TestResponse:
    sender.get()
    with core_of(sender.app).database.engine.begin() as connection:
        connection.execute(update(Account).values(is_active=False))
    return sender.get()


def conflict(sender: Sender) -> TestResponse:
    sender.get()
    return sender.get(sub="somebody-else")


def replayed(sender: Sender) -> TestResponse:
    text = token()
    sender.deliver("", text)
    return Sender(sender.app, "json" in sender.headers["Accept"]).deliver("", text)  # from elsewhere


def full(sender: Sender) -> TestResponse:
    sender.get()
    sender.get(sub="bob", email=BOB.email)
    return sender.get(sub="third", email="third@example.com")


def blocked(sender: Sender) -> TestResponse:
    """A browser that returns no cookie comes back from the provider again and again."""
    assert isinstance(sender.client, FlaskClient)
    for _ in range(10):
        answer = Sender(sender.app, as_json=False).get("restart")
        if "error" in answer.location:
            return answer
    raise AssertionError("it goes round for ever")


def without_a_store(sender: Sender) -> TestResponse:
    core_of(sender.app).provider_registry.get("corporate")
    with core_of(sender.app).database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE spent_token RENAME TO elsewhere")
    return sender.get()


REQUESTS: dict[str, Callable[[Sender], TestResponse]] = {
    "token_missing": lambda sender: sender.deliver("", None),
    "token_malformed": lambda sender: sender.deliver("", "x.y.z"),
    "token_type_wrong": lambda sender: sender.get("", {"typ": "logout+jwt", "alg": "HS256"}),
    "algorithm_not_allowed": lambda sender: sender.get("", {"alg": "none"}),
    "signature_invalid": lambda sender: sender.deliver("", token()[:-4] + "AAAA"),
    "key_unavailable": lambda sender: sender.get("remote"),
    "claim_missing": lambda sender: sender.get(jti=None),
    "claim_invalid": lambda sender: sender.get(exp="soon"),
    "token_expired": lambda sender: sender.get(iat=ago(200), exp=ago(100)),
    "token_not_yet_valid": lambda sender: sender.get(nbf=ago(-100)),
    "token_too_old": lambda sender: sender.get(iat=ago(1000)),
    "issuer_mismatch": lambda sender: sender.get(iss="https://evil.example"),
    "audience_mismatch": lambda sender: sender.get(aud="https://evil.example"),
    "nonce_mismatch": lambda sender: sender.get("nonce"),
    "unsolicited": lambda sender: sender.get("asked"),
    "token_replayed": replayed,
    "ticket_invalid": lambda sender: sender.client.get("/sso/land?ticket=x", headers=sender.headers),
    "user_unknown": lambda sender: sender.get("closed"),
    "user_disabled": disabled,
    "email_conflict": conflict,
    "email_not_allowed": lambda sender: sender.get("domains"),
    "seat_limit_reached": full,
    "provider_unknown": lambda sender: sender.get("nobody"),
    "provider_disabled": lambda sender: sender.get("off"),
    "delivery_not_allowed": lambda sender: sender.get("form"),
    "cookies_blocked": blocked,
    "store_unavailable": without_a_store,
}


def test_no_code_of_the_protocol_is_left_out() -> None:
    assert REQUESTS.keys() | {"rate_limited"} == REJECTIONS.keys()


@pytest.mark.parametrize("code", [code for code in REQUESTS if code != "cookies_blocked"])
def test_a_program_is_told_the_code_with_its_status_and_a_reference(app: Flask, code: str) -> None:
    answer = REQUESTS[code](Sender(app, as_json=True))
    assert answer.json is not None
    assert (answer.status_code, answer.json["error"]) == (REJECTIONS[code].status, code)
    assert REFERENCE.match(answer.json["reference"])
    assert answer.json["error_description"].isascii()
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("code", REQUESTS)
def test_a_browser_is_led_to_a_page_that_says_what_to_do(app: Flask, code: str) -> None:
    sender = Sender(app, as_json=False)
    answer = REQUESTS[code](sender)
    assert answer.status_code == 303
    assert answer.location.startswith(f"/access/jwt/error?code={code}&reference=")
    page = app.test_client().get(answer.location)
    assert page.status_code == REJECTIONS[code].status
    assert answer.location.rpartition("=")[2] in page.text
    assert "no-store" in page.headers["Cache-Control"]


def test_the_sign_in_that_all_of_them_start_from_succeeds(app: Flask) -> None:
    program, browser = Sender(app, as_json=True).get(), Sender(app, as_json=False).get()
    assert (program.status_code, browser.status_code, browser.location) == (200, 303, "/")


# --- One token, several spellings ---


def test_the_other_form_of_an_elliptic_signature_is_the_same_token(tmp_path: Path) -> None:
    """Of (r, s) anybody can make (r, n - s), which verifies as well: so it is the jti that is spent, not the text."""
    key = key_for("ES256")
    app = make_gateway(tmp_path, {"corporate": CORPORATE | {"algorithm": "ES256", "keys": [key.public_pem]}})
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "a", "iat": now, "exp": now + 60, "jti": "1", "email": ALICE.email}
    first = forge({"alg": "ES256"}, claims, key.sign)
    signing_input, _dot, _signature = first.rpartition(".")
    signature = key.sign(signing_input.encode())
    s = int.from_bytes(signature[32:])
    second = f"{signing_input}.{encode(signature[:32] + (ORDERS['ES256'] - s).to_bytes(32))}"
    sender = Sender(app, as_json=True)
    assert sender.deliver("", first).status_code == 200
    again = sender.deliver("", second)
    assert again.json is not None
    assert again.json["error"] == "token_replayed"
    core_of(app).database.engine.dispose()


@pytest.mark.parametrize(("first", "second"), [(12, "12"), ("12", 12), (12, 12)])
def test_a_jti_that_is_a_number_is_the_text_of_that_number(tmp_path: Path, first: Any, second: Any) -> None:
    app = make_gateway(tmp_path, {"help": {"preset": "zendesk", "keys": [KEY.secret], "unsolicited": "accept"}})
    client = app.test_client()
    statuses = []
    for jti in (first, second):
        claims = {"iat": int(time.time()), "jti": jti, "email": ALICE.email, "name": ALICE.name}
        data = {"jwt": forge({"typ": "JWT", "alg": "HS256"}, claims, KEY.sign)}
        statuses.append(client.post("/access/jwt", data=data, headers={"Accept": "application/json"}).status_code)
    assert statuses == [200, 401]
    core_of(app).database.engine.dispose()
