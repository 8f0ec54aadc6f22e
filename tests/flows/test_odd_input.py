"""A number that no column holds, and a NUL, which PostgreSQL takes in no text: refused, and never a 500."""

from pathlib import Path
from typing import Any

import pytest

import idp
from idp.config import Settings
from idp.stores.database import hang_up
from lab.cast import ALICE, CAROL, MALLORY
from lab.pair import table
from tests.support.forms import Visitor
from tests.support.gateway import core_of, make_gateway
from tests.support.odd_input import Sent, sweep

KEY = "a secret of the cast, long enough for SHA-256"
PROVIDER: dict[str, Any] = {"default": True, "keys": [KEY], "login_url": "http://127.0.0.1:1/"}
SERVICE = {"preset": "lychgate", "return_url": "http://127.0.0.1:1/sso/login/jwt", "keys": [KEY]}


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind."""
    if request.param == "SQLite":
        return f"sqlite:///{tmp_path}/odd.sqlite3"
    return str(request.getfixturevalue("postgresql").create_database())


def test_the_gateway_refuses_odd_input_at_every_address(database_url: str, tmp_path: Path) -> None:
    app = make_gateway(tmp_path, {"corporate": PROVIDER}, SP_DATABASE_URL=database_url)
    people = core_of(app).people
    people.create_administrator(CAROL.email, CAROL.password)
    other = people.create_administrator(MALLORY.email, MALLORY.password).person
    visitor = Visitor(app.test_client())

    def enter() -> str:
        if visitor.open("/settings/users").request.path != "/settings/users":
            visitor.sign_in()
        return hidden_field(visitor.open(f"/settings/users/{other.id}").text)

    names = ("provider_name", "name", "public_id", "fingerprint", "trial", "reference")
    parts = {**dict.fromkeys(names, "corporate"), "account_id": str(other.id), "kind": "csv"}
    answers = list(sweep(app, visitor.client, parts, enter))
    assert len(answers) > 600
    assert_never_our_fault(answers)
    assert_refused([sent for sent in answers if sent.part in ("account_id", "before") and sent.value])
    assert_refused([sent for sent in answers if "/settings/" in sent.path and "\0" in sent.value])
    core_of(app).database.engine.dispose()


def test_the_identity_provider_refuses_odd_input_at_every_address(database_url: str, tmp_path: Path) -> None:
    app = idp.create_app(Settings(tmp_path, ("a secret key of this test alone",), database_url, "http://idp.example"))
    run = app.test_cli_runner().invoke
    run(args=["users", "add", ALICE.email, "--password-stdin"], input=f"{ALICE.password}\n")
    (tmp_path / "services.toml").write_text(table("services.gate", SERVICE))
    assert run(args=["services", "apply", str(tmp_path / "services.toml")]).exit_code == 0
    client = app.test_client()

    def enter() -> str:
        token = hidden_field(client.get("/logout").text) or hidden_field(client.get("/login-token/?service=gate").text)
        fields = {"email": ALICE.email, "password": ALICE.password, "csrf_token": token}
        assert client.post("/login-token/?service=gate", data=fields).status_code == 303
        return token

    answers = list(sweep(app, client, {}, enter))
    assert len(answers) > 30
    assert_never_our_fault(answers)
    with app.app_context():
        hang_up()


def hidden_field(text: str) -> str:
    return text.partition('name="csrf_token"')[2].partition('value="')[2].partition('"')[0]


def assert_never_our_fault(answers: list[Sent]) -> None:
    """No 500, and no word of a database that is away."""
    faults = [
        sent.shown
        for sent in answers
        if sent.answer.status_code >= 500 or "store_unavailable" in sent.answer.headers.get("Location", "")
    ]
    assert not faults, "\n".join(faults)


def assert_refused(answers: list[Sent]) -> None:
    taken = [sent.shown for sent in answers if not 400 <= sent.answer.status_code < 500]
    assert answers
    assert not taken, "\n".join(taken)
