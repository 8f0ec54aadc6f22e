"""The local sign-in: it works when all else is broken, and cannot be guessed through, nor used to lock anyone out."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from lab.cast import ALICE, CAROL, MALLORY
from shared.known_browsers import MAX_AGE, MAX_PEOPLE, KnownBrowsers
from shared.throttling import PER_ACCOUNT, PER_DEVICE, PER_IP, account_key
from sp.emails import email_key
from sp.signin.cleanup import Housekeeping
from sp.signin.throttling import make_throttle
from tests.sp.conftest import MakeGateway
from tests.support.forms import forms_of, text_of
from tests.support.gateway import core_of

KEY = "a secret of the cast, long enough for SHA-256"
ONE: dict[str, dict[str, Any]] = {
    "corporate": {"keys": [KEY], "login_url": "http://127.0.0.1:1/login", "default": True}
}
TWO: dict[str, dict[str, Any]] = {
    **ONE,
    "partner": {"keys": [KEY], "login_url": "http://127.0.0.1:2/", "display_name": "Partner"},
    "hidden": {"keys": [KEY], "login_url": "http://127.0.0.1:3/", "display_name": "Unseen", "show_on_login": False},
}


class Clock:
    """Moves when the test says so."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(gateway: MakeGateway, clock: Clock) -> Flask:
    app = gateway(ONE)
    core = core_of(app)
    core.people.create_administrator(CAROL.email, CAROL.password)
    throttle = make_throttle(core.database, clock)
    housekeeping = Housekeeping(core.database, core.sessions, throttle.storage, core.config.activity_days)
    app.extensions["lychgate"] = replace(
        core, local_sign_in=replace(core.local_sign_in, throttle=throttle), housekeeping=housekeeping
    )
    return app


class Browser:
    """A browser with its own IP."""

    def __init__(self, app: Flask, address: str = "203.0.113.1", base_url: str = "http://127.0.0.1:5000") -> None:
        self.client: FlaskClient = app.test_client()
        self.options: dict[str, Any] = {"environ_base": {"REMOTE_ADDR": address}, "base_url": base_url}
        self.fields: dict[str, str] = {}

    def sign_in(self, email: str = CAROL.email, password: str = CAROL.password, **more: Any) -> TestResponse:
        if not self.fields:
            (form,) = forms_of(self.client.get("/login?no_sso", **self.options))
            self.fields = form.fields.to_dict()
        data = {**self.fields, "email": email, "password": password, **more}
        return self.client.post("/login", data=data, **self.options)

    def wrong(self, email: str = CAROL.email) -> int:
        return self.sign_in(email, "not the password").status_code

    def signed_in(self) -> bool:
        return self.client.get("/account", **self.options).status_code == 200


def count(app: Flask, **where: Any) -> int:
    condition = " AND ".join(f"{name} = :{name}" for name in where)
    with core_of(app).database.engine.connect() as connection:
        query = text(f"SELECT count(*) FROM activity WHERE {condition}")  # noqa: S608  names from this file
        return int(connection.execute(query, where).scalar_one())


# The page


def test_a_local_password_opens_a_session_and_leads_to_the_page_asked_for(app: Flask) -> None:
    browser = Browser(app)
    response = browser.sign_in(return_to="/reports?q=1")
    assert (response.status_code, response.headers["Location"]) == (303, "/reports?q=1")
    assert browser.signed_in()
    assert count(app, event="sign_in", email=CAROL.email) == 1


@pytest.mark.parametrize("evil", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_attack_the_local_form_leads_to_no_other_site(evil: str, app: Flask) -> None:
    assert Browser(app).sign_in(return_to=evil).headers["Location"] == "/"


def test_attack_the_form_of_another_site_signs_nobody_in(app: Flask) -> None:
    client = app.test_client()
    response = client.post("/login", data={"email": CAROL.email, "password": CAROL.password})
    assert response.status_code == 400
    assert client.get_cookie("sp_session") is None
    assert "Send it again" in text_of(response)


def test_the_e_mail_address_is_read_without_case_and_spaces(app: Flask) -> None:
    assert Browser(app).sign_in(f"  {CAROL.email.upper()} ").status_code == 303


@pytest.mark.parametrize("typed", [{"email": ""}, {"password": ""}, {"email": "x" * 300}, {"password": "x" * 2000}])
def test_a_form_that_is_not_filled_in_counts_as_no_attempt(typed: dict[str, str], app: Flask) -> None:
    assert Browser(app).sign_in(**typed).status_code == 400
    with core_of(app).database.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM counter")).scalar() == 0


def test_a_wrong_password_is_one_line_in_the_activity_log_without_the_password(app: Flask) -> None:
    assert Browser(app).wrong() == 401
    assert count(app, event="refused", code="wrong_password", email=CAROL.email) == 1
    with core_of(app).database.engine.connect() as connection:
        assert "not the password" not in repr(connection.execute(text("SELECT * FROM activity")).all())


def test_a_password_that_was_typed_as_the_address_is_not_written_down(app: Flask) -> None:
    Browser(app).sign_in(CAROL.password, "x")
    with core_of(app).database.engine.connect() as connection:
        rows = repr(connection.execute(text("SELECT * FROM activity")).all())
    assert "refused" in rows
    assert CAROL.password not in rows


@pytest.mark.parametrize("query", ["?no_sso", "?no_sso=1", "?no_jwt=1", "?no_sso&return_to=/x"])
def test_the_local_form_is_shown_whenever_it_is_asked_for(query: str, app: Flask) -> None:
    response = app.test_client().get(f"/login{query}")
    assert response.status_code == 200
    assert [form.action for form in forms_of(response)] == ["/login"]


@pytest.mark.parametrize("query", ["", "?no_jwt=0", "?return_to=/there"])
def test_one_enabled_provider_is_gone_to(query: str, app: Flask) -> None:
    response = app.test_client().get(f"/login{query}")
    assert response.status_code == 303
    assert response.headers["Location"].startswith("/sso/start/corporate")
    assert ("return_to" in response.headers["Location"]) == ("return_to" in query)


def test_several_providers_have_a_button_each_beside_the_local_form(gateway: MakeGateway) -> None:
    page = gateway(TWO).test_client().get("/login?return_to=/there")
    assert page.status_code == 200
    assert "Partner" in page.text
    assert "Unseen" not in page.text
    assert "/sso/start/partner?return_to=/there" in page.text
    assert [form.action for form in forms_of(page)] == ["/login"]


def test_without_providers_the_local_form_is_the_sign_in_page(gateway: MakeGateway) -> None:
    assert forms_of(gateway().test_client().get("/login"))


def test_it_works_with_providers_that_cannot_be_read(app: Flask) -> None:
    with core_of(app).database.engine.begin() as connection:
        connection.execute(text("UPDATE provider SET settings = '{broken'"))
    assert forms_of(app.test_client().get("/login"))
    assert Browser(app).sign_in().status_code == 303


def test_it_works_with_keys_that_cannot_be_opened(app: Flask, gateway: MakeGateway) -> None:
    restarted = gateway(SP_SECRET_KEY="another secret key, and the old one was lost: 0123456789")
    browser = Browser(restarted)
    assert browser.sign_in().status_code == 303
    assert browser.signed_in()


def test_it_works_without_redis(app: Flask, gateway: MakeGateway) -> None:
    assert Browser(gateway(SP_REPLAY_URL="redis://127.0.0.1:1/0")).sign_in().status_code == 303


def test_a_database_that_is_down_is_said_and_not_a_trace(app: Flask) -> None:
    browser = Browser(app)
    with core_of(app).database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE counter RENAME TO lost"))
    response = browser.sign_in()
    assert response.status_code == 303
    assert "store_unavailable" in response.headers["Location"]
    assert browser.client.get(response.headers["Location"]).status_code == 503


def test_the_page_that_says_so_does_not_lead_a_signed_in_browser_to_itself(app: Flask) -> None:
    browser = Browser(app)
    browser.sign_in()
    with core_of(app).database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE session RENAME TO lost"))
    page = browser.client.get("/access/jwt/error?code=store_unavailable", **browser.options)
    assert page.status_code == 503
    assert "store_unavailable" in text_of(page)


# The throttle


def test_wrong_passwords_of_one_account_are_limited(app: Flask) -> None:
    answers = [Browser(app, f"203.0.113.{n}").wrong() for n in range(PER_ACCOUNT.amount + 3)]
    assert answers == [401] * PER_ACCOUNT.amount + [429] * 3
    assert count(app, event="refused", code="rate_limited", email=CAROL.email) == 3


def test_attack_the_right_password_is_not_looked_at_either(app: Flask) -> None:
    """Or the attacker would simply go on."""
    for n in range(PER_ACCOUNT.amount):
        Browser(app, f"203.0.113.{n}").wrong()
    stranger = Browser(app, "198.51.100.7")
    assert stranger.sign_in().status_code == 429
    assert not stranger.signed_in()


def test_wrong_passwords_from_one_address_are_limited(app: Flask) -> None:
    answers = [Browser(app).wrong(f"person{n}@example.com") for n in range(PER_IP.amount + 2)]
    assert answers == [401] * PER_IP.amount + [429] * 2
    assert Browser(app, "198.51.100.7").wrong("person1@example.com") == 401


def test_attack_a_subscriber_with_many_ipv6_addresses_is_one(app: Flask) -> None:
    answers = [Browser(app, f"2001:db8::{n:x}").wrong(f"p{n}@example.com") for n in range(PER_IP.amount + 1)]
    assert answers[-1] == 429


def test_an_account_that_does_not_exist_is_answered_alike(app: Flask) -> None:
    known = [Browser(app, f"203.0.113.{n}").wrong() for n in range(PER_ACCOUNT.amount + 1)]
    unknown = [Browser(app, f"198.51.100.{n}").wrong("nobody@example.com") for n in range(PER_ACCOUNT.amount + 1)]
    assert known == unknown


@pytest.mark.parametrize(
    "spelling",
    [
        CAROL.email.upper(),
        f" {CAROL.email}",
        f"{CAROL.email} .",
        f"{CAROL.email}.",
        "ｃarol@example.com",
        "car\u00adol@example.com",
        "ca\u0301rol@example.com",
        "c\u00e1rol@example.com",
    ],
)
def test_attack_another_spelling_of_the_address_is_the_same_account(spelling: str, app: Flask) -> None:
    for n in range(PER_ACCOUNT.amount):
        Browser(app, f"203.0.113.{n}").wrong(spelling)
    assert Browser(app, "198.51.100.7").wrong() == 429


@pytest.mark.parametrize("email", ["stra\u00dfe@example.com", "nobody.stra\u00dfe@example.com"])
def test_attack_sharp_s_and_double_s_are_not_two_counts_of_one_account(email: str, app: Flask) -> None:
    """The lookup treats both as one e-mail. A person who does not exist is counted alike, so neither is revealed."""
    core_of(app).people.create_administrator("strasse@example.com", CAROL.password)
    spellings = [email, email.replace("\u00df", "ss"), email.upper(), email.replace("\u00df", "\u1e9e")]
    answers = [Browser(app, f"203.0.113.{n}").wrong(spellings[n % 4]) for n in range(PER_ACCOUNT.amount + 2)]
    assert answers == [401] * PER_ACCOUNT.amount + [429] * 2


def test_attack_no_letter_gives_an_account_a_second_count() -> None:
    """What the lookup takes for one e-mail address is one count, for each character that the lookup changes."""
    for number in range(0x110000):
        email = f"a{chr(number)}b@example.com"
        if (looked_up := email_key(email)) != email:
            assert account_key(email) == account_key(looked_up), hex(number)


def test_attack_an_account_that_looks_alike_makes_no_known_device(app: Flask) -> None:
    """Or the owner of one could guess at the other's password from ever new devices."""
    core_of(app).people.create_administrator("c\u00e1rol@example.com", MALLORY.password)
    mallorys = Browser(app)
    assert mallorys.sign_in("c\u00e1rol@example.com", MALLORY.password).status_code == 303
    assert [mallorys.wrong() for _ in range(PER_ACCOUNT.amount + 1)][-1] == 429
    assert Browser(app, "198.51.100.7").wrong() == 429  # they were counted on Carol's account, not on a device


def test_attack_attempts_beyond_the_limit_write_no_counter(app: Flask) -> None:
    """A flood of them would keep everybody else's sign-in waiting for SQLite's one writer."""
    for n in range(PER_IP.amount):
        Browser(app).wrong(f"nobody{n}@example.com")
    before = _counters(app)
    for n in range(5):
        assert Browser(app).wrong(f"another{n}@example.com") == 429
    assert _counters(app) == before


def _counters(app: Flask) -> list[tuple[str, int]]:
    with core_of(app).database.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT key, count FROM counter ORDER BY key"))]


def test_attack_a_stranger_cannot_lock_the_true_person_out_of_her_own_browser(app: Flask) -> None:
    desk = Browser(app, "198.51.100.7")
    assert desk.sign_in().status_code == 303
    for n in range(PER_ACCOUNT.amount * 2):
        Browser(app, f"203.0.113.{n}").wrong()
    assert desk.sign_in().status_code == 303


def test_a_known_browser_has_a_limit_of_its_own(app: Flask) -> None:
    desk = Browser(app)
    desk.sign_in()
    assert [desk.wrong() for _ in range(PER_DEVICE.amount + 1)] == [401] * PER_DEVICE.amount + [429]
    assert Browser(app, "198.51.100.7").sign_in().status_code == 303  # and locks no other person out


def test_attack_the_cookie_of_ones_own_browser_gives_no_more_tries_at_another_account(app: Flask) -> None:
    core_of(app).people.create_administrator(MALLORY.email, MALLORY.password)
    mallorys = Browser(app)
    assert mallorys.sign_in(MALLORY.email, MALLORY.password).status_code == 303
    assert [mallorys.wrong() for _ in range(PER_ACCOUNT.amount + 1)][-1] == 429
    assert Browser(app, "198.51.100.7").wrong() == 429  # they were counted on Carol's account


@pytest.mark.parametrize("value", ["", "x", "a.b.c", "e30.e30.e30"])
def test_attack_a_forged_device_cookie_is_none(value: str, app: Flask) -> None:
    forger = Browser(app)
    forger.client.set_cookie("sp_device", value, domain="127.0.0.1")
    assert [forger.wrong() for _ in range(PER_ACCOUNT.amount + 1)][-1] == 429


def test_the_device_cookie_signs_nobody_in_and_names_nobody(app: Flask) -> None:
    browser = Browser(app)
    set_cookies = [header for header in browser.sign_in().headers.getlist("Set-Cookie") if "sp_device" in header]
    assert len(set_cookies) == 1
    assert all(word in set_cookies[0] for word in ("HttpOnly", "SameSite=Lax", "Path=/", f"Max-Age={MAX_AGE}"))
    assert "carol" not in set_cookies[0]
    browser.client.delete_cookie("sp_session", domain="127.0.0.1")
    assert not browser.signed_in()


def test_under_https_the_device_cookie_is_bound_to_the_host(gateway: MakeGateway) -> None:
    app = gateway(SP_EXTERNAL_URL="https://gate.example.com")
    core_of(app).people.create_administrator(CAROL.email, CAROL.password)
    browser = Browser(app, base_url="https://gate.example.com")
    cookies = browser.sign_in().headers.getlist("Set-Cookie")
    assert any(cookie.startswith("__Host-sp_device=") and "Secure" in cookie for cookie in cookies)


def test_the_right_password_takes_nothing_from_the_account_nor_from_the_address(app: Flask) -> None:
    for _ in range(3):
        assert Browser(app).sign_in().status_code == 303
    with core_of(app).database.engine.connect() as connection:
        assert not connection.execute(text("SELECT sum(count) FROM counter")).scalar()


def test_the_refusal_is_a_page_with_its_code_and_says_when_to_come_back(app: Flask) -> None:
    for n in range(PER_ACCOUNT.amount):
        Browser(app, f"203.0.113.{n}").wrong()
    response = Browser(app).sign_in()
    assert response.status_code == 429
    assert "rate_limited" in text_of(response)
    assert 0 < int(response.headers["Retry-After"]) <= 15 * 60 + 1
    (line,) = [word for word in text_of(response).split() if len(word) == 10 and word.isupper()]
    assert count(app, reference=line, code="rate_limited") == 1


def test_a_program_gets_the_refusal_in_json(app: Flask) -> None:
    for n in range(PER_ACCOUNT.amount):
        Browser(app, f"203.0.113.{n}").wrong()
    browser = Browser(app)
    browser.options["headers"] = {"Accept": "application/json"}
    response = browser.sign_in()
    assert (response.status_code, response.get_json()["error"]) == (429, "rate_limited")


def test_the_window_ends_though_the_attack_goes_on(app: Flask, clock: Clock) -> None:
    """The window is bounded from its first attempt: going on does not make it longer."""
    for n in range(PER_ACCOUNT.amount + 14):
        clock.ahead = timedelta(minutes=max(0, n - PER_ACCOUNT.amount))
        Browser(app, f"203.0.113.{n}").wrong()
    assert Browser(app, "198.51.100.7").sign_in().status_code == 429
    clock.ahead = timedelta(minutes=15, seconds=1)
    assert Browser(app, "198.51.100.7").sign_in().status_code == 303


def test_all_workers_count_together(app: Flask, gateway: MakeGateway) -> None:
    other_worker = gateway()
    for n in range(PER_ACCOUNT.amount):
        Browser(app if n % 2 else other_worker, f"203.0.113.{n}").wrong()
    assert Browser(app, "198.51.100.7").wrong() == 429
    assert Browser(other_worker, "198.51.100.8").wrong() == 429


def test_attack_attempts_at_the_same_moment_are_counted_one_by_one(app: Flask) -> None:
    browsers = [Browser(app, f"203.0.113.{n}") for n in range(PER_ACCOUNT.amount * 3)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda browser: browser.wrong(), browsers))
    assert answers.count(401) == PER_ACCOUNT.amount


def test_counters_that_ran_out_are_forgotten(app: Flask, clock: Clock) -> None:
    for n in range(5):
        Browser(app, f"203.0.113.{n}").wrong(f"nobody{n}@example.com")
    clock.ahead = timedelta(hours=1)
    Browser(app, "198.51.100.7").wrong()
    assert core_of(app).housekeeping.clean_up()
    with core_of(app).database.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM counter")).scalar() == 2  # those of the last attempt


# The memory of a device


def test_a_device_cookie_of_an_older_secret_key_is_still_known() -> None:
    old, new = "o" * 40, "n" * 40
    value = KnownBrowsers([old], "salt").remember(None, ALICE.email)
    assert KnownBrowsers([new, old], "salt").known(value, ALICE.email)
    assert KnownBrowsers([new], "salt").known(value, ALICE.email) is None
    assert KnownBrowsers([new, old], "other salt").known(value, ALICE.email) is None


def test_a_device_keeps_its_name_and_a_bounded_number_of_people() -> None:
    devices = KnownBrowsers(["k" * 40], "salt")
    value = devices.remember(None, ALICE.email)
    name = devices.known(value, ALICE.email)
    for number in range(MAX_PEOPLE):
        value = devices.remember(value, f"person{number}@example.com")
    assert devices.known(value, ALICE.email) is None
    assert devices.known(value, "person0@example.com") == name
