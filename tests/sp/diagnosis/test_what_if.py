"""`what-if` agrees with real replays: the same attempts, sent again under the other settings."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

from lab.cast import ALICE, BOB, CAROL
from lab.clock import Clock
from lab.minting import mint
from shared.clock import time_now
from sp.activity import reading
from sp.activity.trace import Trace
from sp.cli.what_if import _look_up as look_up_of
from sp.diagnosis.what_if import ENDINGS, decide_again, is_sign_in
from sp.providers.settings_parser import parse_provider
from tests.support.gateway import core_of, make_gateway

SECRET = "the secret of the replays, of a good length, all the same"
BASE: dict[str, Any] = {
    "keys": [SECRET],
    "default": True,
    "login_url": "http://127.0.0.1:1/login-token/",
    "unsolicited": "accept",
    "mapping": {"id": ["sub", "email"]},
}
CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a wider clock skew": {"clock_skew": 600},
    "no clock skew": {"clock_skew": 0},
    "a longer validity": {"expiry_adjustment": 300},
    "a shorter validity": {"expiry_adjustment": -55},
    "a small max_age": {"max_age": 20, "clock_skew": 0},
    "an issuer": {"issuer": {"expected": "https://idp.example.org"}},
    "an issuer that is required": {"issuer": {"expected": "https://idp.example.org", "required": True}},
    "an audience": {"audience": {"expected": "https://sp.example.org", "required": True}},
    "a required claim": {"required_claims": ["iat", "jti", "exp", "given_name"]},
    "a domain": {"email_domains": ["example.com"]},
    "no new accounts": {"auto_create": False},
    "no linking": {"auto_lookup": False},
    "restart": {"unsolicited": "restart"},
    "refuse": {"unsolicited": "refuse"},
    "a nonce": {"require_nonce": True},
    "the form only": {"deliveries": ["form"]},
    "another algorithm": {"algorithm": "HS512", "keys": [SECRET * 2]},
    "another mapping": {"mapping": {"id": "sub", "email": ["mail", "email"]}},
    "disabled": {"enabled": False},
    "strict": {
        "preset": "strict",
        "require_nonce": False,
        "issuer": {"required": False},
        "audience": {"required": False},
    },
    "zendesk": {"preset": "zendesk"},
}


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time_now())
    good = {"iat": now, "exp": now + 60, "jti": os.urandom(16).hex(), "email": ALICE.email, "sub": "alice-1", **changed}
    return {name: value for name, value in good.items() if value is not None}


def send(client: FlaskClient, token: str, *, form: bool = False) -> None:
    values: dict[str, Any] = {"data" if form else "query_string": {"jwt": token}}
    client.open("/sso/login/jwt", method="POST" if form else "GET", **values)


def asked(client: FlaskClient, **changed: Any) -> None:
    """Start a sign-in in this browser and answer it, with its nonce."""
    client.set_cookie("seen", "yes")
    location = client.get("/sso/start", headers={"Sec-Fetch-Site": "none"}).location
    nonces = parse_qs(urlsplit(location).query).get("nonce", [None])
    send(client, mint(claims(nonce=nonces[0], **changed), SECRET))


def later(seconds: int) -> dict[str, int]:
    now = int(time_now())
    return {"iat": now + seconds, "exp": now + seconds + 60}


# Each sends a freshly minted token that is equal in all that counts. A newcomer has another e-mail each time.
ATTEMPTS: dict[str, Callable[[FlaskClient], None]] = {
    "alice": lambda client: send(client, mint(claims(), SECRET)),
    "alice, who has asked": asked,
    "alice, by form, of an issuer": lambda client: send(
        client, mint(claims(iss="https://idp.example.org", aud="https://sp.example.org"), SECRET), form=True
    ),
    "a newcomer": lambda client: send(
        client, mint(claims(email=f"n{os.urandom(4).hex()}@example.org", sub=os.urandom(4).hex()), SECRET)
    ),
    "an old token": lambda client: send(client, mint(claims(**later(-200)), SECRET)),
    "a token of tomorrow": lambda client: send(client, mint(claims(**later(100)), SECRET)),
    "an older token": lambda client: send(client, mint(claims(**later(-50)), SECRET)),
    "of another issuer": lambda client: send(client, mint(claims(iss="https://x.example", given_name="A"), SECRET)),
    "bob, who is disabled": lambda client: send(client, mint(claims(email=BOB.email, sub="bob-1"), SECRET)),
    "carol, by an unknown ID": lambda client: send(client, mint(claims(email=CAROL.email, sub="carol-1"), SECRET)),
    "no exp": lambda client: send(client, mint(claims(exp=None, name="Alice"), SECRET)),
    "no email": lambda client: send(client, mint(claims(email=None, mail=ALICE.email), SECRET)),
    "a wrong signature": lambda client: send(client, mint(claims(), SECRET + "\n")),
    "a list": lambda client: send(client, mint([1], SECRET)),  # type: ignore[arg-type]
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    made = make_gateway(tmp_path_factory.mktemp("sp"), {"corporate": BASE})
    core = core_of(made)
    send(made.test_client(), mint(claims(), SECRET))
    send(made.test_client(), mint(claims(email=BOB.email, sub="bob-1"), SECRET))
    core.people.disable(core.people.find(BOB.email).id, actor="test")  # type: ignore[union-attr]
    core.people.create_administrator(CAROL.email, CAROL.password)
    yield made
    Clock().reset()
    core.database.engine.dispose()


def attempt(app: Flask, name: str) -> Trace:
    Clock().tick(seconds=61)  # or a second restart of one person would be taken for a browser without cookies
    ATTEMPTS[name](app.test_client())
    return reading.latest(core_of(app).database, reading.Wanted(), 1)[0]


@pytest.fixture(scope="module")
def recorded(app: Flask) -> dict[str, Trace]:
    """Return the attempts as they ended under the settings in force."""
    return {name: attempt(app, name) for name in ATTEMPTS}


@pytest.fixture
def under(app: Flask) -> Iterator[Callable[[dict[str, Any]], None]]:
    store = core_of(app).provider_store

    def apply(change: dict[str, Any]) -> None:
        store.apply({"corporate": {**BASE, **change}}, actor="test")

    yield apply
    apply({})


def test_there_are_two_hundred_cases() -> None:
    assert len(CHANGES) * len(ATTEMPTS) >= 200


@pytest.mark.parametrize("change", CHANGES)
def test_what_if_agrees_with_a_real_replay(
    app: Flask, recorded: dict[str, Trace], under: Callable[[dict[str, Any]], None], change: str
) -> None:
    """A wrong signature and another algorithm's key aside: a trace does not hold what would decide them."""
    settings = {**BASE, **CHANGES[change]}
    provider = parse_provider("corporate", settings)
    told = {n: decide_again(t, provider, look_up_of_app(app, provider)).after for n, t in recorded.items()}
    under(CHANGES[change])
    real = {name: attempt(app, name) for name in ATTEMPTS}
    ended = {name: trace.code or ENDINGS[trace.event] for name, trace in real.items()}
    assert told == ended


def look_up_of_app(app: Flask, provider: Any) -> Any:
    with app.app_context():
        look_up = look_up_of(provider)

    def look(profile: Any) -> Any:
        with app.app_context():
            return look_up(profile)

    return look


def test_every_recorded_attempt_is_one_to_sign_in(recorded: dict[str, Trace]) -> None:
    assert all(is_sign_in(trace) for trace in recorded.values())


# The command


def file_of(folder: Path, **settings: str) -> str:
    lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
    path = folder / "other.toml"
    path.write_text(
        f'[providers.corporate]\nkeys = ["{SECRET}"]\nlogin_url = "http://127.0.0.1:1/"\nunsolicited = "accept"\n'
        f'mapping = {{ id = ["sub", "email"] }}\n{lines}'
    )
    return str(path)


def test_the_command_counts_and_lists_what_would_end_otherwise(app: Flask, tmp_path: Path) -> None:
    trace = attempt(app, "alice")
    done = app.test_cli_runner().invoke(
        args=("what-if", "corporate", file_of(tmp_path, email_domains='["example.net"]'), "--last", "1")
    )
    assert done.exit_code == 1, done.output
    assert "1 attempts of corporate were decided again; 1 would have another result." in done.stdout
    assert "1 x accepted -> email_not_allowed" in done.stdout
    assert trace.reference in done.stdout
    assert "Traces contain no signature" in done.stdout


def test_nothing_changes_under_the_same_settings(app: Flask, tmp_path: Path, recorded: dict[str, Trace]) -> None:
    assert recorded
    done = app.test_cli_runner().invoke(args=("what-if", "corporate", file_of(tmp_path), "--json"))
    told = json.loads(done.stdout)
    assert not {one["reference"] for one in told["changed"]} & {trace.reference for trace in recorded.values()}
    assert told["decided"] >= len(ATTEMPTS)
    assert "Traces contain no signature" in told["note"]


def test_a_file_without_the_provider_ends_with_status_1_and_no_file_with_2(app: Flask, tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("[providers.other]\nkeys = []\n")
    for args, status in (
        (("corporate", str(tmp_path / "empty.toml")), 1),
        (("corporate", str(tmp_path / "nothing.toml")), 2),
    ):
        assert app.test_cli_runner().invoke(args=("what-if", *args)).exit_code == status
