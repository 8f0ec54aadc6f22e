"""Every case of the tables in this folder, twice: against `verify` alone, and over HTTP against the gateway.

Beside the code that is expected, each refusal must be an ordinary one: a 4xx with a reference, no session, no cookie,
no token spent, one line in the activity log without the token, and no outgoing connection.
"""

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from shared import folding
from shared.errors import REJECTIONS, Rejection
from shared.keys import load_key_set
from shared.tokens import MAX_TOKEN_BYTES
from sp.accounts.provisioning import read_profile
from sp.database.models import Account, Activity, SessionRecord, SpentToken
from sp.providers.provider import Provider
from sp.providers.settings_parser import parse_provider
from sp.signin.verification import verify
from tests.attacks import cases_of_claims, cases_of_json, cases_of_keys, cases_of_strictness, cases_of_text
from tests.attacks.case import ACCEPTED, PROVIDERS, Case, Good, good
from tests.support.gateway import core_of, make_gateway

NOW = 1_700_000_000
CASES = (
    *cases_of_text.CASES,
    *cases_of_json.CASES,
    *cases_of_keys.CASES,
    *cases_of_claims.CASES,
    *cases_of_strictness.CASES,
)
TRUST: dict[str, Provider] = {name: parse_provider(name, settings) for name, settings in PROVIDERS.items()}
KEYS = {name: load_key_set(settings["keys"], TRUST[name].algorithm) for name, settings in PROVIDERS.items()}
each_case = pytest.mark.parametrize("case", CASES, ids=str)
REFUSED_TO_BROWSERS = [case for case in CASES if case.code != ACCEPTED and case.provider != "strict"]


@dataclass(frozen=True)
class Server:
    """The gateway, and Mallory's URL, which counts its requests."""

    app: Flask
    client: FlaskClient
    listener: socket.socket

    @property
    def listener_address(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def good(self, provider: str) -> Good:
        return good(provider, int(time.time()), self.listener_address)

    def visited(self) -> bool:
        """Tell whether anybody came to the listener."""
        try:
            self.listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def counts(self) -> tuple[int, int, int]:
        """Return the numbers of spent tokens, sessions and accounts."""
        with core_of(self.app).database.engine.connect() as connection:
            spent, sessions, accounts = (
                connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (SpentToken, SessionRecord, Account)
            )
        return spent, sessions, accounts

    def last_activity(self) -> tuple[int, dict[str, object]]:
        """Return how long the activity log is, and its last line."""
        with core_of(self.app).database.engine.connect() as connection:
            row = (
                connection.execute(select(Activity.__table__).order_by(Activity.id.desc()).limit(1)).mappings().first()
            )
            return (row["id"], dict(row)) if row else (0, {})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("BURST", "KIND_BURST"):  # so many cases at once would be counted together
            patch.setattr(folding, name, 10**9)
        app = make_gateway(tmp_path_factory.mktemp("sp"), PROVIDERS, SP_SESSION_CACHE="60")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield Server(app, app.test_client(), listener)
    core_of(app).database.engine.dispose()


@pytest.fixture(autouse=True)
def no_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No content of a token may make us open a connection or resolve a host name."""
    attempts: list[object] = []

    def refuse(*args: object, **_: object) -> None:
        attempts.append(args)
        raise OSError("no outbound requests")

    for function in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, function, refuse)
    yield
    assert attempts == []


@each_case
def test_the_check_alone_decides_each_case(case: Case) -> None:
    token = case.change(good(case.provider, NOW))
    provider = TRUST[case.provider]
    if case.code == ACCEPTED:
        read_profile(verify(token, provider, KEYS[case.provider], NOW).claims, provider)
        return
    with pytest.raises(Rejection) as refused:
        read_profile(verify(token, provider, KEYS[case.provider], NOW).claims, provider)
    assert refused.value.code == case.code
    assert refused.value.detail.isprintable()


@each_case
def test_the_gateway_decides_each_case(case: Case, server: Server) -> None:
    token = case.change(server.good(case.provider))
    before, (lines, _) = server.counts(), server.last_activity()
    address = f"/sso/login/jwt/{case.provider}"
    headers = {"Accept": "application/json"}
    if case.provider == "strict":  # which wants a nonce of every browser
        answer = server.client.get(address, headers=headers | {"Authorization": f"Bearer {token}"})
    else:
        answer = server.client.post(address, data={"jwt": token}, headers=headers)

    spent, sessions, _accounts = before
    assert "Set-Cookie" not in answer.headers
    assert not server.visited()
    if case.code == ACCEPTED:
        assert answer.status_code == 200, answer.json
        assert server.counts()[:2] == (spent + 1, sessions + 1)
        return
    assert answer.json is not None
    assert (answer.status_code, answer.json["error"]) == (REJECTIONS[case.code].status, case.code)
    assert 400 <= answer.status_code < 500
    assert server.counts() == before
    line, row = server.last_activity()
    assert line == lines + 1
    assert (row["event"], row["code"], row["reference"]) == ("refused", case.code, answer.json["reference"])
    assert_without_token(json.dumps(row, default=str) + answer.text, token)


@pytest.mark.parametrize("case", REFUSED_TO_BROWSERS, ids=str)
def test_a_browser_is_told_on_the_error_page(case: Case, server: Server) -> None:
    token = case.change(server.good(case.provider))
    answer = server.client.post(f"/sso/login/jwt/{case.provider}", data={"jwt": token})
    assert answer.status_code == 303
    assert answer.location.startswith(f"/access/jwt/error?code={case.code}&reference=")
    assert "Set-Cookie" not in answer.headers
    page = server.client.get(answer.location)
    assert page.status_code == REJECTIONS[case.code].status
    assert_without_token(page.text, token)


def assert_without_token(text: str, token: str) -> None:
    """Fail if *text* contains a useful part of the token."""
    for piece in token.split("."):
        if 30 < len(piece) <= MAX_TOKEN_BYTES:
            assert piece[:30] not in text


def test_there_are_as_many_cases_as_were_promised() -> None:
    assert len(CASES) >= 200
    assert len({(case.provider, case.what) for case in CASES}) == len(CASES)
