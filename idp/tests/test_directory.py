"""The default directory, and what every directory must do: one suite, run against each implementation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from flask import Flask
from shared.passwords import PasswordRefused, needs_rehash
from sqlalchemy import create_engine, text, update
from werkzeug.security import generate_password_hash

from idp.examples.sql_people import TablePeople
from idp.models import PersonRow, db, writing
from idp.people import DirectoryUnavailable, PersonDirectory, WrongCredentials
from idp.stores.directory import PersonRefused, SqlDirectory
from idp.tests import slapd
from idp.tests.support import ALICE, BOB


@contextmanager
def own_database(app: Flask, _folder: Path) -> Iterator[PersonDirectory]:
    """Give the default directory."""
    with app.app_context():
        yield SqlDirectory()


@cache
def hashed(password: str) -> str:
    """Return the hash of a password. It is computed once, because this takes a tenth of a second."""
    return generate_password_hash(password)


@contextmanager
def existing_table(_app: Flask, folder: Path) -> Iterator[PersonDirectory]:
    """Use the example for a table that already exists."""
    engine = create_engine(f"sqlite:///{folder}/intranet.sqlite3")
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE members (member_id INTEGER PRIMARY KEY, mail TEXT, first_name TEXT, last_name TEXT,"
                " department TEXT, pw_hash TEXT, active BOOLEAN)"
            )
        )
        connection.execute(text("CREATE TABLE member_groups (member_id INTEGER, name TEXT)"))
        insert = text("INSERT INTO members VALUES (:id, :mail, :first, :last, :department, :hash, :active)")
        people = [(7, "Alice@Example.com", "Alice", "Liddell", "Curiosity", ALICE.password, True)]
        people.append((8, BOB.email, "Bob", "Sparrow", "", BOB.password, False))
        for member, mail, first, last, department, password, active in people:
            values = {"id": member, "mail": mail, "first": first, "last": last, "department": department}
            connection.execute(insert, values | {"hash": hashed(password), "active": active})
        connection.execute(text("INSERT INTO member_groups VALUES (7, 'staff')"))
    yield TablePeople(engine)
    engine.dispose()


@contextmanager
def ldap(_app: Flask, folder: Path) -> Iterator[PersonDirectory]:
    """Give the example for LDAP, over a real slapd."""
    if slapd.PROGRAM is None:
        pytest.skip("no slapd on this machine: apt-get install slapd")
    if find_spec("ldap3") is None:
        pytest.skip("pip install ldap3")
    with slapd.serving(folder) as directory:
        yield directory


@pytest.fixture(params=[own_database, existing_table, ldap], ids=lambda param: param.__name__)
def directory(request: pytest.FixtureRequest, app: Flask, tmp_path: Path) -> Iterator[PersonDirectory]:
    """Each implementation, with Alice, who is in the group staff, and with Bob, who is disabled."""
    with request.param(app, tmp_path) as opened:
        yield opened


def test_a_person_is_found_by_address_without_case(directory: PersonDirectory) -> None:
    person = directory.find("alice@EXAMPLE.com ")
    assert person is not None
    assert person.email.lower() == ALICE.email
    assert (person.given_name, person.family_name, person.name) == ("Alice", "Liddell", "Alice Liddell")
    assert person.groups == ("staff",)
    assert person.value_of("department") == "Curiosity"


def test_the_right_password_gives_the_person_that_is_found(directory: PersonDirectory) -> None:
    person = directory.authenticate(ALICE.email, ALICE.password)
    assert person == directory.find(ALICE.email)
    assert person.id


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (ALICE.email, "a wrong password"),
        (ALICE.email, ""),
        (ALICE.email, ALICE.password + " "),
        (ALICE.email, ALICE.password.upper()),
        ("nobody@example.com", ALICE.password),
        ("", ALICE.password),
        ("*", ALICE.password),
        ("a*", ALICE.password),
        ("alice@example.com)(objectClass=*", ALICE.password),
        ("*)(uid=*))(|(uid=*", ALICE.password),
        ("' OR '1'='1", ALICE.password),
        ("alice@example.com' --", "x"),
        ("alice@example.com\0", ALICE.password),
        ("alice@example.com" + "x" * 10_000, ALICE.password),
        (BOB.email, BOB.password),
        (BOB.email, "a wrong password"),
    ],
)
def test_everything_else_is_refused(directory: PersonDirectory, email: str, password: str) -> None:
    with pytest.raises(WrongCredentials):
        directory.authenticate(email, password)


@pytest.mark.parametrize("email", [BOB.email, "nobody@example.com", "*", "a*", "", "alice@example.com)(uid=*"])
def test_nobody_else_is_found(directory: PersonDirectory, email: str) -> None:
    assert directory.find(email) is None


def test_nobody_takes_as_long_as_somebody(directory: PersonDirectory) -> None:
    people = (ALICE.email, "nobody@example.com", BOB.email)
    best = dict.fromkeys(people, 9.0)
    computed = isinstance(directory, SqlDirectory | TablePeople)
    for _ in range(8 if computed else 60):  # in turns, so that a busy machine slows down all of them
        for email in people:
            best[email] = min(best[email], seconds_to_refuse(directory, email))
    known, unknown, disabled = best.values()
    assert unknown > known * 0.5
    assert disabled > known * 0.5


def seconds_to_refuse(directory: PersonDirectory, email: str) -> float:
    """Return how long a wrong password takes: processor time if this process hashes it, otherwise elapsed time."""
    clock = time.process_time if isinstance(directory, SqlDirectory | TablePeople) else time.perf_counter
    began = clock()
    with pytest.raises(WrongCredentials):
        directory.authenticate(email, "a wrong password")
    return clock() - began


def test_a_hash_of_other_parameters_is_renewed_at_sign_in(app: Flask) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(ALICE.password)
    with app.app_context():
        with writing() as session:
            session.execute(update(PersonRow).where(PersonRow.email == ALICE.email).values(password_hash=old))
        SqlDirectory().authenticate(ALICE.email, ALICE.password)
        stored = db.session.query(PersonRow).filter_by(email=ALICE.email).one().password_hash
        assert stored != old
        assert not needs_rehash(stored)
        SqlDirectory().authenticate(ALICE.email, ALICE.password)


@pytest.mark.parametrize(
    "email",
    [
        "alice",
        "@example.com",
        "alice@example",
        "a@b@example.com",
        "alice@example.com ",
        "аlice@example.com",
        "alice@exa mple.com",
        "a\n@example.com",
        "a" * 65 + "@example.com",
        "a@" + "b" * 250 + ".com",
        "a@b..com",
    ],
)
def test_an_address_that_some_service_would_refuse_is_refused_here(app: Flask, email: str) -> None:
    with app.app_context(), pytest.raises(PersonRefused):
        SqlDirectory().add(email, "a good password")


@pytest.mark.parametrize("name", ["a\nb", "a\0b", "a\u202eb", "a\u200bb", "x" * 201])
def test_a_name_with_invisible_characters_is_refused(app: Flask, name: str) -> None:
    with app.app_context(), pytest.raises(PersonRefused):
        SqlDirectory().add("new@example.com", "a good password", given_name=name)


@pytest.mark.parametrize("password", ["short12", "x" * 1025])
def test_a_password_is_judged_by_its_length_alone(app: Flask, password: str) -> None:
    with app.app_context():
        with pytest.raises(PasswordRefused):
            SqlDirectory().add("new@example.com", password)
        SqlDirectory().add("new@example.com", "aaaaaaaa")


def test_no_two_people_share_an_address(app: Flask) -> None:
    with app.app_context(), pytest.raises(PersonRefused):
        SqlDirectory().add(ALICE.email.upper().replace("EXAMPLE.COM", "example.com"), "a good password")


def test_a_table_that_is_away_is_not_a_wrong_password(tmp_path: Path) -> None:
    away = TablePeople(create_engine(f"sqlite:///{tmp_path}/no-such-table.sqlite3"))
    with pytest.raises(DirectoryUnavailable):
        away.authenticate(ALICE.email, ALICE.password)
    away._engine.dispose()
