"""If a password is changed during a sign-in with the old password, no session is opened."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher
from flask import Flask
from sqlalchemy import select, update

from idp.models import PersonRow, SessionRow, db, writing
from idp.people import Person, WrongCredentials
from idp.stores import sessions
from idp.stores.directory import SqlDirectory
from idp.tests.support import ALICE, Browser, words

NEW = "through-the-wardrobe-1950"


class Meanwhile(SqlDirectory):
    """The default directory, which calls *happens* after a password was found to be correct."""

    def __init__(self, app: Flask, *command: str, typed: str = "") -> None:
        self._app, self._command, self._typed = app, command, typed

    def authenticate(self, email: str, password: str) -> Person:
        person = super().authenticate(email, password)
        done = self._app.test_cli_runner().invoke(args=list(self._command), input=self._typed)
        assert done.exit_code == 0, done.output
        return person


@pytest.mark.parametrize(
    ("command", "typed"),
    [(["users", "set-password", ALICE.email, "--password-stdin"], NEW), (["users", "disable", ALICE.email], "")],
)
def test_attack_a_sign_in_that_is_under_way_with_the_old_password_opens_nothing(
    app: Flask, browser: Browser, monkeypatch: pytest.MonkeyPatch, command: list[str], typed: str
) -> None:
    meanwhile = Meanwhile(app, *command, typed=typed)
    monkeypatch.setattr(app.extensions["idp"].people, "authenticate", meanwhile.authenticate)
    answer = browser.sign_in()
    assert answer.status_code == 401
    assert "The e-mail address or the password is wrong." in words(answer)
    assert browser.cookie("idp_session") is None
    with app.app_context():
        assert db.session.scalars(select(SessionRow)).all() == []


def test_attack_a_renewed_hash_of_the_old_password_does_not_replace_the_new_password(app: Flask) -> None:
    with app.app_context():
        directory = SqlDirectory()
        alice = directory.authenticate(ALICE.email, ALICE.password)
        directory.set_password(ALICE.email, NEW)
        assert not directory._rehash(alice, alice.credential, "the hash that a sign-in under way has computed")
        assert directory.authenticate(ALICE.email, NEW)
        with pytest.raises(WrongCredentials):
            directory.authenticate(ALICE.email, ALICE.password)


def test_a_renewed_hash_opens_a_session_too(app: Flask, browser: Browser) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(ALICE.password)
    with app.app_context(), writing() as session:
        session.execute(update(PersonRow).where(PersonRow.email == ALICE.email).values(password_hash=old))
    assert browser.sign_in().status_code == 303


def test_a_directory_without_credentials_opens_sessions_as_before(app: Flask) -> None:
    with app.test_request_context():
        person = Person("of-another-directory", "who@example.org")
        assert sessions.open_session(person, stay=False)[0]
