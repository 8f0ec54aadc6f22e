"""Two attempts are compared: the one thing that is different comes first."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from flask import Flask

from lab.cast import ALICE, BOB
from lab.minting import mint
from shared.keys import load_key
from shared.tokens import sign
from sp.activity import reading
from sp.activity.trace import Facts, Trace
from sp.diagnosis.trace_diff import differences
from tests.support.gateway import core_of, make_gateway

SECRET = "the secret of the diff, of a good length, all the same"
PROVIDER = {
    "keys": [SECRET],
    "login_url": "http://127.0.0.1:1/",
    "unsolicited": "accept",
    "default": True,
    "issuer": {"expected": "https://idp.example.org"},
    "audience": {"expected": "https://sp.example.org"},
    "email_domains": ["example.com"],
    "deliveries": ["query"],
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    made = make_gateway(tmp_path_factory.mktemp("sp"), {"corporate": PROVIDER})
    yield made
    core_of(made).database.engine.dispose()


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {
        "iss": "https://idp.example.org",
        "aud": "https://sp.example.org",
        "iat": now,
        "exp": now + 60,
        "jti": os.urandom(16).hex(),
        "email": ALICE.email,
        "given_name": "Alice",
        "family_name": "Liddell",
        "groups": ["staff"],
        **changed,
    }
    return {name: value for name, value in good.items() if value is not None}


def sent(app: Flask, token: str, *, form: bool = False) -> Trace:
    values: dict[str, Any] = {"data" if form else "query_string": {"jwt": token}}
    app.test_client().open("/sso/login/jwt", method="POST" if form else "GET", **values)
    return reading.latest(core_of(app).database, reading.Wanted(), 1)[0]


def at(seconds: int) -> dict[str, int]:
    now = int(time.time())
    return {"iat": now + seconds, "exp": now + seconds + 60}


def milliseconds(name: str) -> dict[str, int]:
    return {name: int(time.time() * 1000)}


# what is planted: (the token of it, the first difference)
CLAIMS: dict[str, tuple[Any, str]] = {
    "another issuer": (lambda: {"iss": "https://idp.example.org/"}, "iss"),
    "another audience": (lambda: {"aud": "https://other.example.org"}, "aud"),
    "the email is missing": (lambda: {"email": None}, "email"),
    "the email has another name": (lambda: {"email": None, "mail": ALICE.email}, "email"),
    "the jti is missing": (lambda: {"jti": None}, "jti"),
    "IAT in capitals": (lambda: {"iat": None, "IAT": int(time.time())}, "iat"),
    "iat in milliseconds": (lambda: milliseconds("iat"), "iat"),
    "exp in milliseconds": (lambda: milliseconds("exp"), "exp"),
    "exp as text": (lambda: {"exp": str(int(time.time()) + 60)}, "exp"),
    "the email as a list": (lambda: {"email": [ALICE.email]}, "email"),
    "the clock is ahead": (lambda: at(500), "age on arrival"),
    "the clock is behind": (lambda: at(-500), "age on arrival"),
    "a domain that is not allowed": (lambda: {"email": "alice@example.org"}, "email"),
    "a lifetime of two seconds": (
        lambda: {"iat": int(time.time()) - 95, "exp": int(time.time()) - 93},
        "age on arrival",
    ),
    "other groups, and it still works": (lambda: {"groups": ["staff", "board"]}, "groups"),
    "a shorter lifetime, and it still works": (lambda: {"exp": int(time.time()) + 20}, "exp - iat"),
}
HEADERS: dict[str, tuple[Any, str]] = {
    "another key": (lambda: mint(claims(), SECRET + "\n"), "key"),
    "another algorithm": (lambda: sign(claims(), load_key("s" * 64, "HS512")), "alg in the header"),
    "another type": (lambda: mint(claims(), SECRET, {"typ": "at+jwt", "alg": "HS256"}), "typ in the header"),
    "a payload that is a list": (lambda: mint([1, claims()], SECRET), "claims"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", [*CLAIMS, *HEADERS])
def test_the_planted_change_comes_first(app: Flask, name: str) -> None:
    good = sent(app, mint(claims(), SECRET))
    assert good.event == "sign_in", good.cause
    make, first = (CLAIMS | HEADERS)[name]
    made = make()
    other = sent(app, made if isinstance(made, str) else mint(claims(**made), SECRET))
    found = reading.last_good_before(core_of(app).database, other)
    assert found is not None
    assert differences(found, other)[0].what == first, [one.what for one in differences(found, other)]


def test_the_delivery_comes_first(app: Flask) -> None:
    good, other = sent(app, mint(claims(), SECRET)), sent(app, mint(claims(), SECRET), form=True)
    assert other.code == "delivery_not_allowed"
    assert differences(good, other)[0].what == "delivery"


def test_there_are_twenty_pairs() -> None:
    assert len(CLAIMS) + len(HEADERS) >= 20


def test_two_good_sign_ins_of_one_person_are_not_different(app: Flask) -> None:
    sent(app, mint(claims(), SECRET))
    one, other = sent(app, mint(claims(), SECRET)), sent(app, mint(claims(), SECRET))
    assert differences(one, other) == []


def test_the_last_good_sign_in_of_the_same_person_is_preferred(app: Flask) -> None:
    own = sent(app, mint(claims(), SECRET))
    sent(app, mint(claims(email=BOB.email, given_name="Bob"), SECRET))
    other = sent(app, mint(claims(**at(-500)), SECRET))
    found = reading.last_good_before(core_of(app).database, other)
    assert found is not None
    assert found.reference == own.reference
    stranger = sent(app, mint(claims(email="new@example.com", **at(-500)), SECRET))
    found = reading.last_good_before(core_of(app).database, stranger)
    assert found is not None
    assert found.email == BOB.email
    assert differences(found, stranger)[0].what == "age on arrival"


def test_the_command_compares_with_the_last_good_sign_in(app: Flask) -> None:
    good, other = sent(app, mint(claims(), SECRET)), sent(app, mint(claims(aud="https://x.example"), SECRET))
    done = app.test_cli_runner().invoke(args=("activity", "diff", other.reference))
    assert done.exit_code == 0
    assert f"compared with {good.reference}" in done.stdout
    assert done.stdout.splitlines()[1].startswith("  aud: https://sp.example.org -> https://x.example")
    told = json.loads(app.test_cli_runner().invoke(args=("activity", "diff", other.reference, "--json")).stdout)
    assert told["differences"][0]["what"] == "aud"


@pytest.mark.parametrize("args", [("NOSUCH",), ("NOSUCH", "NOSUCH")])
def test_what_does_not_exist_ends_with_status_1(app: Flask, args: tuple[str, ...]) -> None:
    assert app.test_cli_runner().invoke(args=("activity", "diff", *args)).exit_code == 1


@pytest.mark.parametrize("facts", [Facts(), Facts(claims={}), Facts(header={}, claims={"iat": True, "exp": []})])
def test_anything_can_be_compared(facts: Facts) -> None:
    def trace(of: Facts) -> Trace:
        return Trace("R", 1, "refused", "token_expired", "", None, None, of)

    full = Facts("query", {"alg": "x"}, {"iat": 1, "exp": 2, "email": "a@b"}, "k", ("sp_pending_1",))
    everything: Mapping[str, Facts] = {"before": facts, "after": full}
    assert differences(trace(everything["before"]), trace(full))
    assert differences(trace(full), trace(facts))
