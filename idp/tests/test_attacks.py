"""Attacks on the identity provider, one test for each. Tests of one subject, such as throttling, have more attacks."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from shared.passwords import check_password
from shared.throttling import PER_IP
from sqlalchemy import func, select
from werkzeug.test import create_environ
from werkzeug.wrappers import Response

from idp import authentication, backchannel
from idp.models import AuditRow, ServiceRow, SessionRow, db, writing
from idp.stores import directory
from idp.tests.conftest import MakeApp, add_cast
from idp.tests.support import (
    ALICE,
    BOB,
    GATE,
    KEY,
    MALLORY,
    OTHER_KEY,
    Browser,
    Cast,
    Clock,
    csrf_token,
    register,
    sign_out_token,
    token_in,
    words,
)

PASSWORD_AS_EMAIL = "my secret pass@word"


def audit_rows(app: Flask) -> int:
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(AuditRow)) or 0


# Where a token or a person is sent


def test_attack_a_doubled_slash_is_not_redirected_to_the_host_that_the_request_names(app: Flask) -> None:
    for path in ("//login-token/", "/login-token//", "//evil.example/logout", "/.well-known//jwks.json", "/assets//x"):
        environ = create_environ(headers={"Host": "evil.example"}) | {"PATH_INFO": path}
        assert "Location" not in Response.from_app(app, environ).headers, path


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL"])
def test_attack_no_header_moves_a_token_a_link_or_the_issuer(browser: Browser, header: str) -> None:
    browser.sign_in()
    answer = browser.get("/login-token/?service=gate", **{header: "evil.example"})
    assert "evil" not in answer.get_data(as_text=True) + str(answer.headers)
    assert "evil" not in browser.get("/logout", **{header: "evil.example"}).text


def test_attack_parameters_of_the_address_build_no_address_of_ours(
    app: Flask, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser.sign_in()
    end_the_session_while_a_token_is_under_way(app, monkeypatch)
    answer = browser.get("/login-token/?service=gate&_external=1&_scheme=javascript&_anchor=x&_method=POST")
    assert answer.location.startswith("/login-token/?service=gate&")


def test_attack_an_answer_that_carries_a_token_repeats_it_nowhere_else(browser: Browser) -> None:
    answer = browser.sign_in()
    assert answer.get_data() == b""
    assert [name for name, value in answer.headers if token_in(answer) in value] == ["Location"]


def test_attack_a_token_that_is_under_way_while_the_person_signs_out_is_not_issued(
    app: Flask, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the token would open a session that the sign-out did not end."""
    browser.sign_in()
    end_the_session_while_a_token_is_under_way(app, monkeypatch)
    answer = browser.get("/login-token/?service=gate")
    assert "jwt" not in answer.location
    assert "Password" in words(browser.get(answer.location))


def end_the_session_while_a_token_is_under_way(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_another_tab() -> str:
        with writing() as session:
            for row in session.scalars(select(SessionRow)):
                session.delete(row)
        return "the-id-of-the-token"

    monkeypatch.setattr(authentication, "generate_token_id", in_another_tab)


# Forms of other sites


def test_attack_the_secret_of_another_browsers_form_is_refused(app: Flask, browser: Browser) -> None:
    hers = csrf_token(Browser(app).get("/login-token/?service=gate"))
    browser.get("/login-token/?service=gate")
    answer = browser.post(
        "/login-token/?service=gate", csrf_token=hers, email=MALLORY.email, password=MALLORY.password
    )  # fmt: skip
    assert answer.status_code == 400
    assert browser.cookie("idp_session") is None


def test_attack_a_form_cookie_planted_from_a_neighbouring_host_is_not_looked_at(make_app: MakeApp) -> None:
    app = make_app(external_url="https://idp.example")
    add_cast(app)
    register(app, gate=GATE)
    mallorys, victim = Browser(app, scheme="https"), Browser(app, scheme="https")
    hidden = csrf_token(mallorys.get("/login-token/?service=gate"))
    victim.plant("idp_form", mallorys.cookie("__Host-idp_form") or "")  # only this host can set the other name
    path = "/login-token/?service=gate"
    answer = victim.post(path, csrf_token=hidden, email=MALLORY.email, password=MALLORY.password)
    assert answer.status_code == 400


# Who has an account here


@pytest.mark.parametrize(
    "person", [Cast(ALICE.email, "wrong"), BOB, Cast("nobody@example.com", "wrong"), Cast("", "wrong")]
)
def test_attack_no_refusal_is_quicker_than_another(
    browser: Browser, person: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing takes nearly all the time, so one hash is computed whether or not the account exists."""
    hashed = []

    def count(stored_hash: str | None, password: str) -> bool:
        hashed.append(password)
        return check_password(stored_hash, password)

    monkeypatch.setattr(directory, "check_password", count)
    answer = browser.sign_in(person)
    assert len(hashed) == (1 if person.email else 0)  # without an e-mail there is no account to look for
    assert answer.status_code == (401 if person.email else 400)


def test_attack_a_forged_list_of_proxies_gets_nobody_past_the_limit(make_app: MakeApp) -> None:
    from ipaddress import ip_network

    app = make_app(trusted_proxies=(ip_network("192.0.2.0/24"),))
    add_cast(app)
    register(app, gate=GATE)
    browser, path = Browser(app, "192.0.2.7"), "/login-token/?service=gate"
    hidden = csrf_token(browser.get(path))
    tried = []
    for number in range(PER_IP.amount + 1):
        typed = {"csrf_token": hidden, "email": f"person{number}@example.com", "password": "wrong"}
        browser.move_to("192.0.2.7", f"10.9.8.{number}, 198.51.100.1")  # our own proxy added the last IP address
        tried.append(browser.post(path, **typed).status_code)
    assert tried == [401] * PER_IP.amount + [429]


# What is written down


def test_attack_a_password_typed_into_the_wrong_field_stands_nowhere(
    app: Flask, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    browser.sign_in(Cast(PASSWORD_AS_EMAIL, "wrong"))
    browser.sign_in(Cast(ALICE.email, "wrong"))
    with app.app_context():
        assert sorted(db.session.scalars(select(AuditRow.email))) == ["", ALICE.email]
    assert PASSWORD_AS_EMAIL not in caplog.text
    assert f"sign_in_refused email={ALICE.email}" in caplog.text


def test_attack_strangers_fill_no_table(app: Flask, browser: Browser, clock: Clock) -> None:
    for token in ("garbage", sign_out_token(clock(), OTHER_KEY), sign_out_token(clock() - 9000)):
        assert browser.get(f"/logout?jwt={token}").status_code == 401
    browser.get("/login-token/?service=gate")
    browser.get("/login-token/?service=elsewhere")
    assert audit_rows(app) == 0


def test_attack_a_thief_of_the_database_finds_no_secret_of_sign_out_requests(app: Flask, clock: Clock) -> None:
    register(app, gate={**GATE, "algorithm": "ES256", "keys": [], "logout_algorithm": "HS256", "logout_keys": [KEY]})
    with app.app_context():
        assert KEY not in str(db.session.scalars(select(ServiceRow.definition)).one())
    assert Browser(app).get(f"/logout?jwt={sign_out_token(clock())}").status_code == 200


# Signing others out


def test_attack_an_address_that_has_signed_someone_out_ends_no_later_session(browser: Browser, clock: Clock) -> None:
    browser.sign_in()
    address = f"/logout?jwt={sign_out_token(clock())}"
    assert browser.get(address).status_code == 200
    assert browser.get(address).status_code == 200  # loaded again while no one is signed in: no error
    browser.sign_in()
    again = browser.get(address)  # the back button, or a person who reads the history
    assert again.status_code == 401
    assert "token_replayed" in words(again)
    assert browser.get("/login-token/?service=gate").status_code == 303


def test_attack_a_sign_out_meant_for_another_person_is_not_used_up_by_showing_it(app: Flask, clock: Clock) -> None:
    address = f"/logout?jwt={sign_out_token(clock())}"
    mallorys, alices = Browser(app), Browser(app)
    mallorys.sign_in(MALLORY)
    assert mallorys.get(address).status_code == 409
    alices.sign_in()
    assert alices.get(address).status_code == 200
    assert alices.get("/login-token/?service=gate").status_code == 200


# Services that misbehave


def test_attack_a_service_that_answers_a_byte_a_second_holds_up_nobody(
    app: Flask, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backchannel, "ANSWER_SECONDS", 0.5)
    with dripping_server() as address:
        register(app, gate={**GATE, "backchannel_logout_url": address})
        browser.sign_in()
        began = time.monotonic()
        answer = browser.submit("/logout")
        assert time.monotonic() - began < 2.5  # the page itself waits for 3
        assert "did not answer in time" in words(answer)
        deadline = time.monotonic() + 10
        while any(thread.name.startswith("back-channel") for thread in threading.enumerate()):
            assert time.monotonic() < deadline, "the thread that told the service is held for ever"
            time.sleep(0.02)


def test_attack_more_silent_services_than_threads_hold_up_nobody(
    app: Flask, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backchannel, "ANSWER_SECONDS", 0.6)
    monkeypatch.setattr(backchannel, "DELIVERY_SECONDS", 0.3)
    monkeypatch.setattr(backchannel, "MAX_AT_ONCE", 1)
    with dripping_server() as address:
        register(app, gate={**GATE, "backchannel_logout_url": address})
        register(app, tower={**GATE, "keys": [OTHER_KEY], "backchannel_logout_url": address})
        browser.sign_in()
        browser.get("/login-token/?service=tower")
        answer = browser.submit("/logout")
    assert words(answer).count("did not answer in time") == 2


def test_attack_a_proxy_of_the_environment_is_told_no_token(
    app: Flask, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dripping_server() as proxy, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", proxy)
        register(app, gate={**GATE, "backchannel_logout_url": f"http://127.0.0.1:{closed.getsockname()[1]}/told"})
        browser.sign_in()
        assert "could not be reached" in words(browser.submit("/logout"))


@contextmanager
def dripping_server() -> Iterator[str]:
    """A server that never finishes its answer; yield its URL."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            while not over.is_set():
                try:
                    caller, _address = listener.accept()
                except OSError:
                    return
                threading.Thread(target=drip_to, args=(caller,), daemon=True).start()

        def drip_to(caller: socket.socket) -> None:
            with caller:
                try:
                    caller.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                    while not over.wait(0.1):
                        caller.sendall(b"x")
                except OSError:
                    pass  # the client closed the connection

        threading.Thread(target=drip, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/sso/logout/backchannel"
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
