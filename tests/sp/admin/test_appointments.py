"""Administrators are made and unmade on the account pages: asked first, written down, and one always stays."""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Barrier, Thread

import pytest
from flask import Flask
from sqlalchemy import insert, text

from lab.cast import ALICE, CAROL, MALLORY
from lab.minting import ispring_token
from sp.accounts.manage import ControlledByProviders, LastAdministrator
from sp.activity import audit
from sp.database.models import Identity
from tests.sp.admin.test_users import USERS, account, accounts, alice_in, id_of
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, KEY, administrator_of
from tests.support.forms import Visitor
from tests.support.gateway import core_of


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    return gateway({"corporate": {**CORPORATE, "unsolicited": "accept"}})


@pytest.fixture
def carol(app: Flask) -> Visitor:
    return administrator_of(app)


def ask(carol: Visitor, account_id: int, what: str) -> None:
    carol.open(f"{USERS}/{account_id}")
    carol.send(carol.form(f"{USERS}/{account_id}/{what}"))


def confirm(carol: Visitor, account_id: int, what: str) -> None:
    carol.send(carol.form(f"{USERS}/{account_id}/{what}"))


def is_admin(app: Flask, email: str) -> bool:
    person = core_of(app).people.find(email)
    assert person is not None
    return person.is_admin


def test_an_account_is_made_an_administrators_after_a_question_that_lists_its_ids(app: Flask, carol: Visitor) -> None:
    alice = alice_in(app)
    number = id_of(app, ALICE.email)
    ask(carol, number, "appoint")
    assert f"corporate: {ALICE.email}" in carol.text
    assert not is_admin(app, ALICE.email)
    confirm(carol, number, "appoint")
    assert f"{ALICE.email} is an administrator now." in carol.text
    assert alice.get("/settings/users").status_code == 200
    (line,) = audit.recent(core_of(app).database, subject=ALICE.email, limit=1)
    assert (line.action, line.actor) == ("administrator appointed", CAROL.email)
    assert line.detail == {"administrator": [False, True], "ids kept": [None, [f"corporate: {ALICE.email}"]]}


def test_an_administrator_is_made_an_ordinary_person_at_once(app: Flask, carol: Visitor) -> None:
    alice = alice_in(app)
    number = id_of(app, ALICE.email)
    for what in ("appoint", "dismiss"):
        ask(carol, number, what)
        confirm(carol, number, what)
    assert alice.get("/settings/users").status_code == 403
    assert alice.get("/account").status_code == 200
    (line,) = audit.recent(core_of(app).database, subject=ALICE.email, limit=1)
    assert (line.action, line.actor) == ("administrator dismissed", CAROL.email)


def test_the_last_administrator_cannot_unmake_herself(app: Flask, carol: Visitor) -> None:
    account(app, "former@example.com", is_admin=True, is_active=False)
    number = id_of(app, CAROL.email)
    ask(carol, number, "dismiss")
    confirm(carol, number, "dismiss")
    assert "This is the last active administrator" in carol.text
    assert is_admin(app, CAROL.email)


def test_one_of_two_administrators_may_unmake_herself(app: Flask, carol: Visitor) -> None:
    account(app, "dave@example.com", is_admin=True)
    number = id_of(app, CAROL.email)
    ask(carol, number, "dismiss")
    confirm(carol, number, "dismiss")
    assert "You are not an administrator any more." in carol.text
    assert carol.open("/settings/users").status_code == 403


def test_of_administrators_who_unmake_one_another_at_once_one_stays(app: Flask, carol: Visitor) -> None:
    numbers = [id_of(app, CAROL.email), *accounts(app, [f"{n}@example.com" for n in range(4)], is_admin=True)]
    refused, barrier = [], Barrier(len(numbers))

    def dismiss(number: int) -> None:
        barrier.wait()
        try:
            core_of(app).administrators.dismiss(number, by=number)
        except LastAdministrator:
            refused.append(number)

    threads = [Thread(target=dismiss, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1


def test_a_disabled_account_is_not_made_an_administrators(app: Flask, carol: Visitor) -> None:
    number = account(app, "gone@example.com", is_active=False)
    assert not core_of(app).administrators.appoint(number, shown=(), by=id_of(app, CAROL.email))
    assert "Make administrator" not in carol.open(f"{USERS}/{number}").text
    assert not is_admin(app, "gone@example.com")


def test_attack_an_id_that_is_linked_while_the_question_is_open_is_not_taken_over(app: Flask, carol: Visitor) -> None:
    """Mallory's provider joins the account between the question and the answer: she would be an administrator."""
    number = account(app, ALICE.email)
    ask(carol, number, "appoint")
    with core_of(app).database.engine.begin() as connection:
        row = {"provider": "corporate", "subject": "mallory", "claim": "sub", "account_id": number}
        connection.execute(insert(Identity), row | {"issued_at": 0, "created_at": datetime.now(UTC)})
    confirm(carol, number, "appoint")
    assert carol.page.status_code == 409
    assert "corporate: mallory" in carol.text
    assert not is_admin(app, ALICE.email)
    with pytest.raises(ControlledByProviders):
        core_of(app).administrators.appoint(number, shown=(), by=id_of(app, CAROL.email))


def test_attack_a_person_makes_herself_an_administrator(app: Flask, carol: Visitor) -> None:
    client = app.test_client()
    client.get("/sso/login/jwt", query_string={"jwt": ispring_token(KEY, MALLORY.email)})
    number = id_of(app, MALLORY.email)
    mallory = Visitor(client)
    mallory.open("/account")
    token = next(iter(mallory.lines("csrf_token"))).split('value="')[1].split('"')[0]
    for what in ("appoint", "dismiss"):
        answer = client.post(f"{USERS}/{number}/{what}", data={"csrf_token": token, "confirmed": "1"})
        assert answer.status_code == 403
    assert not is_admin(app, MALLORY.email)


def test_the_command_line_still_appoints_where_no_administrator_is_left(app: Flask, carol: Visitor) -> None:
    with core_of(app).database.engine.begin() as connection:
        connection.execute(text("UPDATE account SET is_admin = false"))
    core_of(app).people.create_administrator(CAROL.email, CAROL.password)
    assert is_admin(app, CAROL.email)
