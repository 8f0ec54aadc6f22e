"""A password that is changed ends what it opened, and what is just being opened with it."""

import pytest
from argon2 import PasswordHasher
from sqlalchemy import text

from lab.cast import CAROL
from shared.passwords import needs_rehash
from sp.accounts.manage import PasswordChanged
from sp.activity.record import Visitor
from sp.sessions.store import NewSession, Origin
from sp.signin.opening import Opening
from tests.sp.conftest import MakeGateway
from tests.support.gateway import core_of

NEW = "another-key-for-the-warden-9"


def test_attack_a_sign_in_that_is_under_way_with_the_old_password_opens_nothing(gateway: MakeGateway) -> None:
    core = core_of(gateway())
    core.people.create_administrator(CAROL.email, CAROL.password)
    proven = core.people.authenticate(CAROL.email, CAROL.password)
    assert proven is not None
    core.people.create_administrator(CAROL.email, NEW)
    with pytest.raises(PasswordChanged):
        core.sign_in.with_password(proven, Opening(Visitor(), "LATE"))
    with core.database.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM session")).scalar_one() == 0


def test_attack_a_sign_in_that_is_under_way_opens_nothing_for_an_account_that_was_disabled(
    gateway: MakeGateway,
) -> None:
    core = core_of(gateway())
    core.people.create_administrator(CAROL.email, CAROL.password)
    proven = core.people.authenticate(CAROL.email, CAROL.password)
    assert proven is not None
    core.people.disable(proven.person.id)
    with pytest.raises(PasswordChanged):
        core.sign_in.with_password(proven, Opening(Visitor(), "LATE"))


def test_a_new_password_ends_the_sessions_of_the_old_one_and_leaves_those_of_providers(gateway: MakeGateway) -> None:
    core = core_of(gateway())
    core.people.create_administrator(CAROL.email, CAROL.password)
    proven = core.people.authenticate(CAROL.email, CAROL.password)
    assert proven is not None
    opened = core.sign_in.with_password(proven, Opening(Visitor(), "FIRST"))
    at_provider = NewSession.generate()
    with core.database.engine.execution_options(write=True).begin() as connection:
        now = connection.execute(text("SELECT max(created_at) FROM session")).scalar_one()
        core.sessions.open(connection, at_provider, Origin(proven.person.id, provider="corporate"), now=now)
    core.people.create_administrator(CAROL.email, NEW)
    assert core.sessions.find(opened.secret) is None
    assert core.sessions.find(at_provider.secret) is not None
    again = core.people.authenticate(CAROL.email, NEW)
    assert again is not None
    assert core.sign_in.with_password(again, Opening(Visitor(), "AGAIN")).secret


def test_attack_a_renewed_hash_of_the_old_password_does_not_replace_the_new_password(gateway: MakeGateway) -> None:
    core = core_of(gateway())
    core.people.create_administrator(CAROL.email, CAROL.password)
    weak = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(CAROL.password)
    with core.database.engine.begin() as connection:
        connection.execute(text("UPDATE account SET password_hash = :weak"), {"weak": weak})
        row = connection.execute(text("SELECT id, password_hash FROM account")).one()
    core.people.create_administrator(CAROL.email, NEW)
    assert not core.people._rehash(row, "the hash that a sign-in under way has computed")
    assert core.people.authenticate(CAROL.email, NEW) is not None
    assert core.people.authenticate(CAROL.email, CAROL.password) is None


def test_a_renewed_hash_opens_a_session_too(gateway: MakeGateway) -> None:
    core = core_of(gateway())
    core.people.create_administrator(CAROL.email, CAROL.password)
    weak = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(CAROL.password)
    with core.database.engine.begin() as connection:
        connection.execute(text("UPDATE account SET password_hash = :weak"), {"weak": weak})
    proven = core.people.authenticate(CAROL.email, CAROL.password)
    assert proven is not None
    assert not needs_rehash(proven.stored_hash)
    assert core.sign_in.with_password(proven, Opening(Visitor(), "RENEWED")).secret
