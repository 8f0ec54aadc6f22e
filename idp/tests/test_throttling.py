"""How many passwords may be tried, and that strangers cannot lock a person out."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

from flask import Flask
from shared.throttling import PER_ACCOUNT, PER_DEVICE, PER_IP, network_of

from idp.models import PersonRow
from idp.stores.directory import SqlDirectory
from idp.tests.conftest import MakeApp, add_cast
from idp.tests.support import ALICE, GATE, MALLORY, Browser, Cast, Clock, csrf_token, register, words

WRONG = Cast(ALICE.email, "a wrong password")


def test_a_thousand_wrong_passwords_from_many_addresses_do_not_keep_alice_out_at_her_own_desk(app: Flask) -> None:
    desk = Browser(app, "198.51.100.1")
    desk.sign_in()
    desk.submit("/logout")
    answers = wrong_passwords_from_many_ips(app, 1000)
    assert answers.count(401) == PER_ACCOUNT.amount  # the other passwords were not checked
    assert answers.count(429) == 1000 - PER_ACCOUNT.amount
    assert desk.sign_in().status_code == 303


def wrong_passwords_from_many_ips(app: Flask, count: int) -> list[int]:
    stranger, path = Browser(app), "/login-token/?service=gate"
    hidden = csrf_token(stranger.get(path))
    answers = []
    for n in range(count):
        stranger.move_to(f"10.0.{n // 250}.{n % 250 + 1}")
        answer = stranger.post(path, csrf_token=hidden, email=WRONG.email, password=WRONG.password)
        answers.append(answer.status_code)
    return answers


def test_her_own_desk_is_not_stopped_by_its_neighbours_either(app: Flask) -> None:
    desk = Browser(app, "198.51.100.1")
    desk.sign_in()
    for n in range(PER_IP.amount + 5):
        Browser(app, "198.51.100.1").sign_in(Cast(f"nobody{n}@example.com", "a wrong password"))
    assert Browser(app, "198.51.100.1").sign_in(MALLORY).status_code == 429
    assert desk.sign_in().status_code == 303


def test_one_address_cannot_try_more_than_the_limit(app: Flask) -> None:
    browser = Browser(app, "203.0.113.9")
    tried = [
        browser.sign_in(Cast(f"person{n}@example.com", "a wrong password")).status_code
        for n in range(PER_IP.amount + 20)
    ]
    assert tried.count(401) == PER_IP.amount
    assert tried[-20:] == [429] * 20


def test_attempts_at_the_same_moment_are_counted_one_by_one(app: Flask) -> None:
    browsers = [Browser(app, f"192.0.2.{n}") for n in range(1, 31)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda browser: browser.sign_in(WRONG).status_code, browsers))
    assert answers.count(401) == PER_ACCOUNT.amount


def test_a_known_device_has_a_limit_too(app: Flask) -> None:
    desk = Browser(app)
    desk.sign_in()
    tried = [desk.sign_in(WRONG).status_code for _ in range(PER_DEVICE.amount + 3)]
    assert tried == [401] * PER_DEVICE.amount + [429] * 3


def test_a_device_is_known_for_the_people_who_signed_in_there_alone(app: Flask) -> None:
    mallorys = Browser(app)
    mallorys.sign_in(MALLORY)
    tried = [mallorys.sign_in(WRONG).status_code for _ in range(PER_ACCOUNT.amount + 1)]
    assert tried[-1] == 429
    stranger = Browser(app, "203.0.113.50")
    assert stranger.sign_in(WRONG).status_code == 429  # her attempts were counted for Alice's account, not separately


def test_a_forged_device_cookie_is_no_device(app: Flask) -> None:
    desk = Browser(app)
    desk.sign_in()
    forged = Browser(app, "203.0.113.5")
    forged.plant("idp_device", (desk.cookie("idp_device") or "") + "x")
    for _ in range(PER_ACCOUNT.amount):
        forged.sign_in(WRONG)
    assert forged.sign_in(ALICE).status_code == 429


def test_the_refusal_says_when_to_come_back_and_holds_no_longer(app: Flask, clock: Clock) -> None:
    browser = Browser(app)
    for _ in range(PER_ACCOUNT.amount):
        browser.sign_in(WRONG)
    clock.turn(100)
    refused = browser.sign_in(ALICE)
    assert refused.status_code == 429
    assert "too many wrong passwords" in words(refused)
    assert int(refused.headers["Retry-After"]) == PER_ACCOUNT.get_expiry() - 100 + 1
    clock.turn(PER_ACCOUNT.get_expiry() - 99)
    assert browser.sign_in(ALICE).status_code == 303


def test_a_right_password_costs_nothing(app: Flask) -> None:
    for _ in range(PER_ACCOUNT.amount + 5):
        assert Browser(app).sign_in(ALICE).status_code == 303


def test_an_unknown_account_is_counted_like_a_known_one(app: Flask) -> None:
    nobody = Cast("nobody@example.com", "a wrong password")
    tried = [Browser(app, f"10.1.0.{n}").sign_in(nobody).status_code for n in range(1, PER_ACCOUNT.amount + 2)]
    assert tried == [401] * PER_ACCOUNT.amount + [429]


def test_spellings_of_one_address_are_one_account(app: Flask) -> None:
    spellings = ["alice@example.com", "ALICE@EXAMPLE.COM", "alice@example.com\x00", "ａlice @example.com"]
    tried = [
        Browser(app, f"10.2.0.{n}").sign_in(Cast(spellings[n % 4], "a wrong password")).status_code
        for n in range(1, PER_ACCOUNT.amount + 2)
    ]
    assert tried[-1] == 429


def test_one_subscriber_is_one_address() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff")
    assert network_of("2001:db8::1") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1")
    assert network_of("unix:") == "unknown"


class ManySpellings(SqlDirectory):
    """A directory whose lookup ignores text in brackets as a comment, as RFC 5322 allows."""

    def _row(self, email: str) -> PersonRow | None:
        return super()._row(re.sub(r"\(.*?\)", "", email))


def test_attack_a_spelling_that_only_the_directory_understands_brings_no_more_guesses(make_app: MakeApp) -> None:
    app = make_app(people=ManySpellings())
    add_cast(app)
    register(app, gate=GATE)
    tried = [
        Browser(app, f"10.3.0.{n}").sign_in(Cast(f"alice({n})@example.com", "a wrong password")).status_code
        for n in range(1, PER_ACCOUNT.amount + 2)
    ]
    assert tried == [401] * PER_ACCOUNT.amount + [429]
    assert Browser(app, "10.4.0.1").sign_in(ALICE).status_code == 429


def test_a_right_password_in_such_a_spelling_costs_nothing(make_app: MakeApp) -> None:
    app = make_app(people=ManySpellings())
    add_cast(app)
    register(app, gate=GATE)
    person = Cast(f"(home){ALICE.email}", ALICE.password)
    for n in range(PER_ACCOUNT.amount + 2):
        assert Browser(app, f"10.5.0.{n}").sign_in(person).status_code == 303


def test_attack_sharp_s_and_double_s_are_one_count(app: Flask) -> None:
    spellings = ["stra\u00dfe@example.com", "strasse@example.com", "STRA\u1e9eE@example.com", "strasse@example.com. "]
    tried = [
        Browser(app, f"10.6.0.{n}").sign_in(Cast(spellings[n % 4], "a wrong password")).status_code
        for n in range(1, PER_ACCOUNT.amount + 2)
    ]
    assert tried == [401] * PER_ACCOUNT.amount + [429]
