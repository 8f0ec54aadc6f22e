"""How often a sign-in waits for PostgreSQL: over a network, each time costs more than all statements."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import update

from shared.errors import Rejection, TokenReplayed, UserDisabled
from sp.database.models import Account
from sp.signin.opening import Opening
from tests.sp.signin.test_transaction import PROVIDERS, WHO, Claims, Gate, at_once
from tests.support.gateway import core_of, make_gateway, migrated_postgresql
from tests.support.round_trips import RoundTrips, counted
from tests.support.stores import PostgreSQL, Redis


@pytest.fixture
def trips(postgresql: PostgreSQL) -> Iterator[RoundTrips]:
    with counted(migrated_postgresql(postgresql)) as trips:
        yield trips


@pytest.fixture
def gate(trips: RoundTrips, tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(core_of(make_gateway(tmp_path, PROVIDERS, SP_DATABASE_URL=trips.url)))
    gate.sign_in(sub="somebody", email="somebody@example.org")  # opens a connection, reads the settings
    yield gate
    gate.engine.dispose()


def waits(gate: Gate, trips: RoundTrips, claims: Claims | None = None, access_token: bool = False) -> int:
    """Sign Alice in, or be refused, and return how often that waited for the database."""
    verified, trusted = gate.verified(claims or gate.claims()), gate.core.provider_registry.get("corporate")
    opening = Opening(WHO, os.urandom(5).hex(), access_token=access_token)
    before = trips.count
    with suppress(Rejection):
        gate.core.sign_in.with_token(verified, trusted, opening)
    return trips.count - before


def test_a_known_persons_sign_in_waits_twice(gate: Gate, trips: RoundTrips) -> None:
    gate.sign_in()
    for _time in range(8):  # psycopg prepares a statement at its sixth use
        assert waits(gate, trips) == 2
    assert gate.rows()["session"] == 10


def test_with_an_access_token_too(gate: Gate, trips: RoundTrips) -> None:
    gate.sign_in()
    assert waits(gate, trips, access_token=True) == 2


def test_a_first_sign_in_waits_three_times(gate: Gate, trips: RoundTrips) -> None:
    assert waits(gate, trips) == 3
    assert gate.account().id == gate.sign_in().account_id


def test_a_refused_sign_in_waits_twice_and_leaves_nothing(gate: Gate, trips: RoundTrips) -> None:
    gate.sign_in()
    with gate.engine.begin() as connection:
        connection.execute(update(Account).values(is_active=False))
    before, claims = gate.rows(), gate.claims()
    for _time in range(3):
        assert waits(gate, trips, claims) == 2
    with pytest.raises(UserDisabled):
        gate.sign_in(given=claims)
    assert gate.rows() == before


def test_a_second_use_waits_twice(gate: Gate, trips: RoundTrips) -> None:
    claims = gate.claims()
    gate.sign_in(given=claims)
    assert waits(gate, trips, claims) == 2
    with pytest.raises(TokenReplayed):
        gate.sign_in(given=claims)


def test_with_redis_the_statements_are_waited_for_before_the_commit(
    trips: RoundTrips, tmp_path: Path, redis_server: Redis
) -> None:
    """A token in Redis may be made unspent only while it is certain that nothing was committed."""
    more = {"SP_DATABASE_URL": trips.url, "SP_REPLAY_URL": redis_server.url}
    gate = Gate(core_of(make_gateway(tmp_path, PROVIDERS, **more)))
    gate.sign_in()
    assert waits(gate, trips) == 3
    gate.engine.dispose()


def test_sixteen_sign_ins_of_one_person_at_once_all_succeed_over_a_slow_network(
    postgresql: PostgreSQL, tmp_path: Path
) -> None:
    """Each waits until the one before has committed, at most 1.5 seconds. So none may keep the lock for long."""
    with counted(migrated_postgresql(postgresql), delay=0.05) as trips:
        nodes = [Gate(core_of(make_gateway(tmp_path, PROVIDERS, SP_DATABASE_URL=trips.url))) for _ in range(2)]
        nodes[0].sign_in()
        outcomes = at_once([lambda n=n: nodes[n % 2].sign_in() for n in range(16)])  # type: ignore[misc]
        for node in nodes:
            node.engine.dispose()
    assert Counter(outcomes) == {"signed in": 16}
