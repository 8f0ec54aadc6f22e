"""Notifying services over the back channel: with real requests, in parallel, and again after a failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest
from flask import Flask
from shared.keys import generate_key
from sqlalchemy import select

from idp import backchannel, housekeeping
from idp.context import context
from idp.models import AuditRow, LogoutDeliveryRow, SessionRow, db
from idp.presets import PRESETS
from idp.stores import outbox, rate_limit_storage, retention, sessions
from idp.tests.support import (
    ALICE,
    GATE,
    KEY,
    OTHER_KEY,
    Browser,
    Clock,
    register,
    sign_out_token,
    token_in,
    unverified,
    words,
)


class Gateway:
    """A service's back-channel URL that records what it receives, and answers as the test wants."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.status = 200
        self.delay = 0.0
        self.body = b""
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                time.sleep(gateway.delay)
                gateway.told.append(parse_qs(body)["logout_token"][0])
                self.send_response(gateway.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(gateway.body)))
                with suppress(OSError):  # the caller has gone, after a delay
                    self.end_headers()
                    self.wfile.write(gateway.body)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/sso/logout/backchannel"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def gateways() -> Iterator[tuple[Gateway, Gateway]]:
    """Two gateways."""
    two = Gateway(), Gateway()
    yield two
    for gateway in two:
        gateway.close()


@pytest.fixture
def browser(app: Flask, gateways: tuple[Gateway, Gateway]) -> Browser:
    """A browser in which Alice has opened both services."""
    first, second = gateways
    register(
        app,
        gate={**GATE, "backchannel_logout_url": first.url},
        tower={**GATE, "display_name": "The tower", "keys": [OTHER_KEY], "backchannel_logout_url": second.url},
        silent={**GATE, "keys": [OTHER_KEY]},
    )
    browser = Browser(app)
    browser.sign_in()
    browser.get("/login-token/?service=tower")
    browser.get("/login-token/?service=silent")
    return browser


def waiting(app: Flask) -> list[tuple[str, int]]:
    with app.app_context():
        rows = db.session.scalars(select(LogoutDeliveryRow))
        return sorted((row.service, row.attempts) for row in rows)


def test_every_service_that_took_part_is_told(browser: Browser, gateways: tuple[Gateway, Gateway], app: Flask) -> None:
    answer = browser.submit("/logout")
    assert "The gate: notified. It does not say which sessions it ended." in words(answer)
    assert "The tower: notified. It does not say which sessions it ended." in words(answer)
    assert [len(gateway.told) for gateway in gateways] == [1, 1]
    assert waiting(app) == []


def test_the_token_is_that_of_the_specification(
    browser: Browser, gateways: tuple[Gateway, Gateway], clock: Clock
) -> None:
    signed_in = unverified(token_in(browser.get("/login-token/?service=gate")))
    browser.submit("/logout")
    token = gateways[0].told[0]
    jwt = pytest.importorskip("jwt")
    claims = jwt.decode(token, KEY, algorithms=["HS256"], audience="https://gate.example", issuer="http://idp.example")
    assert unverified(token, 0)["typ"] == "logout+jwt"
    assert claims["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert (claims["sub"], claims["sid"]) == (signed_in["sub"], signed_in["sid"])
    assert claims["iat"] == int(clock())
    assert claims["exp"] - claims["iat"] <= 120
    assert claims["jti"] != signed_in["jti"]
    assert "nonce" not in claims


def test_each_service_gets_a_sid_and_a_token_of_its_own(browser: Browser, gateways: tuple[Gateway, Gateway]) -> None:
    browser.submit("/logout")
    first, second = (unverified(gateway.told[0]) for gateway in gateways)
    assert first["sid"] != second["sid"]
    assert first["jti"] != second["jti"]


def test_one_that_is_down_does_not_hold_up_the_other_and_is_named_and_retried(
    browser: Browser, gateways: tuple[Gateway, Gateway], app: Flask, clock: Clock
) -> None:
    up, down = gateways
    down.status = 500
    began = time.monotonic()
    answer = browser.submit("/logout")
    assert time.monotonic() - began < outbox.RETRY_AFTER[0] / 2
    assert len(up.told) == 1
    assert "The gate: notified." in words(answer)
    assert "The tower: could not be notified, because it answered 500. We will try again." in words(answer)
    assert waiting(app) == [("tower", 1)]

    with app.app_context():
        housekeeping.retry_notices()
    assert len(down.told) == 1  # not due yet
    clock.turn(outbox.RETRY_AFTER[0] + 1)
    down.status = 200
    with app.app_context():
        housekeeping.retry_notices()
    assert len(down.told) == 2
    assert unverified(down.told[1])["iat"] == int(clock())  # a fresh token, not a stale one
    assert waiting(app) == []


@pytest.mark.parametrize("status", [302, 307, 400, 404, 503])
def test_anything_but_200_and_204_is_a_failure(
    browser: Browser, gateways: tuple[Gateway, Gateway], app: Flask, status: int
) -> None:
    gateways[1].status = status
    browser.submit("/logout")
    assert len(gateways[1].told) == 1  # a redirect is not followed
    assert waiting(app) == [("tower", 1)]


def test_a_service_that_cannot_be_reached_is_a_failure(
    browser: Browser, gateways: tuple[Gateway, Gateway], app: Flask
) -> None:
    gateways[1].close()
    assert "could not be reached" in words(browser.submit("/logout"))
    assert waiting(app) == [("tower", 1)]


def test_nobody_waits_for_a_slow_service(
    browser: Browser, gateways: tuple[Gateway, Gateway], app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backchannel, "ANSWER_SECONDS", 0.3)
    gateways[1].delay = 4.0
    began = time.monotonic()
    answer = browser.submit("/logout")
    assert time.monotonic() - began < 2.5  # the page itself waits for 3
    assert "did not answer in time" in words(answer)
    assert waiting(app) == [("tower", 1)]


def test_a_notice_is_given_up_after_the_last_attempt(
    browser: Browser, gateways: tuple[Gateway, Gateway], app: Flask, clock: Clock
) -> None:
    gateways[1].status = 500
    browser.submit("/logout")
    for seconds in outbox.RETRY_AFTER:
        clock.turn(seconds + 1)
        with app.app_context():
            housekeeping.retry_notices()
    assert len(gateways[1].told) == len(outbox.RETRY_AFTER) + 1
    assert waiting(app) == []
    with app.app_context():
        events = db.session.scalars(select(AuditRow.event).where(AuditRow.service == "tower")).all()
    assert events.count("service_given_up") == 1


def test_two_workers_do_not_deliver_one_notice_twice(
    app: Flask, browser: Browser, gateways: tuple[Gateway, Gateway]
) -> None:
    with app.app_context():
        from idp.people import Person

        alice = app.extensions["idp"].people.find(ALICE.email)
        assert isinstance(alice, Person)
        sessions.end_sessions_of(alice, reason="test")
        notice = outbox.due()[0]
        assert outbox.claim(notice) is not None
        assert outbox.claim(notice) is None
        assert notice not in outbox.due()


def test_a_claim_of_a_dead_worker_runs_out(app: Flask, browser: Browser, clock: Clock) -> None:
    with app.app_context():
        alice = app.extensions["idp"].people.find(ALICE.email)
        sessions.end_sessions_of(alice, reason="test")
        notice = outbox.due()[0]
        outbox.claim(notice)
        clock.turn(outbox.CLAIM_SECONDS + 1)
        assert notice in outbox.due()


def test_disabling_a_person_signs_them_out_of_the_services(
    app: Flask, browser: Browser, gateways: tuple[Gateway, Gateway]
) -> None:
    gateways[0].body = b'{"sessions_ended":2}'
    done = app.test_cli_runner().invoke(args=["users", "disable", ALICE.email])
    assert done.exit_code == 0
    assert [len(gateway.told) for gateway in gateways] == [1, 1]  # at once, not when the next clean-up comes
    assert "The gate: notified. It ended 2 sessions.\n" in done.output
    assert "The tower: notified. It does not say which sessions it ended.\n" in done.output


def test_a_person_who_is_disabled_is_named_to_a_service_whose_session_outlives_ours(
    app: Flask, browser: Browser, gateways: tuple[Gateway, Gateway], clock: Clock
) -> None:
    clock.turn(400 * 86_400)
    with app.app_context():
        with rate_limit_storage.independent_transaction() as connection:
            retention.forget_sessions(context().now(), connection, 100)
        assert db.session.scalars(select(SessionRow)).all() == []
    app.test_cli_runner().invoke(args=["users", "disable", ALICE.email])
    said = unverified(gateways[0].told[0])
    assert said["email"] == ALICE.email
    assert "sid" not in said  # no matter which sessions exist


def test_one_sign_out_names_one_session_only(app: Flask, browser: Browser, gateways: tuple[Gateway, Gateway]) -> None:
    elsewhere = Browser(app)
    elsewhere.sign_in()
    browser.submit("/logout")
    assert [len(gateway.told) for gateway in gateways] == [1, 1]
    assert unverified(gateways[0].told[0])["sid"]


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "discourse"])  # it gets no JWT
def test_a_service_is_told_by_the_claims_that_name_the_person_in_its_sign_in_tokens(
    app: Flask, gateways: tuple[Gateway, Gateway], preset: str
) -> None:
    key = generate_key("RS256") if preset == "freshworks" else KEY
    table = {"preset": preset, "return_url": "https://gate.example/sso", "keys": [key]}
    register(app, gate={**table, "backchannel_logout_url": gateways[0].url, "claims": {"employee": "department"}})
    browser = Browser(app)
    signed_in = unverified(token_in(browser.sign_in(), PRESETS[preset].get("token_parameter", "jwt")))
    browser.submit("/logout")
    said = unverified(gateways[0].told[0])
    names = {"email", "sub", "id", "name", "preferred_username", "employee"} & set(signed_in)
    assert {"email", "employee"} <= names
    assert {name: said[name] for name in names} == {name: signed_in[name] for name in names}
    assert said["sid"]
    assert said["sub"]


def test_a_sub_of_the_services_own_mapping_is_kept(app: Flask, gateways: tuple[Gateway, Gateway]) -> None:
    register(app, gate={**GATE, "backchannel_logout_url": gateways[0].url, "claims": {"sub": "email"}})
    browser = Browser(app)
    browser.sign_in()
    browser.submit("/logout")
    assert unverified(gateways[0].told[0])["sub"] == ALICE.email


def test_an_address_that_a_service_is_never_sent_is_not_in_its_sign_out_either(
    app: Flask, gateways: tuple[Gateway, Gateway]
) -> None:
    register(app, gate={**GATE, "backchannel_logout_url": gateways[0].url, "claims": {"email": ""}})
    browser = Browser(app)
    browser.sign_in()
    browser.submit("/logout")
    assert "email" not in unverified(gateways[0].told[0])


def test_a_service_without_an_address_for_sign_outs_is_named_as_not_told(
    browser: Browser, gateways: tuple[Gateway, Gateway]
) -> None:
    answer = browser.submit("/logout")
    assert "could not be notified, because it has no URL for sign-outs" in words(answer)
    assert "open those services and sign out there" in words(answer)


def test_a_service_that_is_no_longer_registered_does_not_count_as_told(
    browser: Browser, gateways: tuple[Gateway, Gateway], app: Flask
) -> None:
    app.test_cli_runner().invoke(args=["services", "remove", "tower"])
    assert "tower: could not be notified, because it was removed from the services here." in words(
        browser.submit("/logout")
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"sessions_ended": 0}', "notified. It found no session to end."),
        (b'{"sessions_ended": 1}', "notified. It ended 1 session."),
        (b'{"sessions_ended": 2}', "notified. It ended 2 sessions."),
        (b'{"sessions_ended": -1}', "notified. It does not say"),
        (b'{"sessions_ended": 1.5}', "notified. It does not say"),
        (b'{"sessions_ended": true}', "notified. It does not say"),
        (b'{"sessions_ended": "2"}', "notified. It does not say"),
        (b'{"sessions_ended": 99999999999999999999}', "notified. It does not say"),
        (b'{"sessions_ended": ' + b"9" * 900 + b"}", "notified. It does not say"),
        (b"[" * 1000, "notified. It does not say"),
        (b"2", "notified. It does not say"),
        (b"\xff\xfe", "notified. It does not say"),
        (b'{"sessions_ended": 2}' + b" " * 2000, "notified. It does not say"),
        (b'{"sessions_ended": 2, "html": "<script>alert(1)</script>"}', "notified. It ended 2 sessions."),
    ],
)
def test_attack_a_service_cannot_say_more_than_a_small_count(
    browser: Browser, gateways: tuple[Gateway, Gateway], app: Flask, body: bytes, said: str
) -> None:
    gateways[1].body = body
    answer = browser.submit("/logout")
    assert f"The tower: {said}" in words(answer)
    assert "<script>" not in answer.text
    assert waiting(app) == []


def test_a_sign_out_that_a_service_asks_for_reaches_the_others_and_not_itself(
    browser: Browser, gateways: tuple[Gateway, Gateway], clock: Clock
) -> None:
    browser.get(f"/logout?jwt={sign_out_token(clock())}")
    assert [len(gateway.told) for gateway in gateways] == [0, 1]


def test_the_housekeeping_thread_delivers_and_outlives_mistakes(
    app: Flask, browser: Browser, gateways: tuple[Gateway, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "EVERY", 0.02)
    calls = iter([RuntimeError("a mistake")])
    original = housekeeping.retry_notices

    def stumble_once() -> None:
        for error in calls:
            raise error
        original()

    monkeypatch.setattr(housekeeping, "retry_notices", stumble_once)
    with app.app_context():
        sessions.end_sessions_of(app.extensions["idp"].people.find(ALICE.email), reason="test")
    stop = housekeeping.start(app)
    deadline = time.monotonic() + 5
    while not all(gateway.told for gateway in gateways) and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    time.sleep(0.1)
    assert all(gateway.told for gateway in gateways)


def test_the_token_stands_in_no_log(
    browser: Browser, gateways: tuple[Gateway, Gateway], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    gateways[1].status = 500
    browser.submit("/logout")
    for gateway in gateways:
        assert gateway.told[0].split(".")[1] not in caplog.text
