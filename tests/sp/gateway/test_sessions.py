"""Sessions: how long they live, how soon an end to them counts, and what they cost."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, text, update

from lab.cast import ALICE, CAROL
from lab.clock import Clock
from sp.database.models import SessionRecord
from tests.sp.gateway.gate import PAGE, SCRIPT, Gate, unknown_secret

_session: Any = SessionRecord.__table__


@pytest.fixture
def move_clock(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Callable[[float], None]:
    """Return the function that moves the clocks of this process on by seconds."""
    moved, true_monotonic = 0.0, time.monotonic
    monkeypatch.setattr("sp.sessions.store.time.monotonic", lambda: true_monotonic() + moved)

    def move(seconds: float) -> None:
        nonlocal moved
        moved += seconds
        clock.tick(seconds=seconds)

    return move


def status(gate: Gate, secret: str, path: str = "/page") -> int:
    return gate.ask(path, headers=SCRIPT, secret=secret).status


def test_a_session_that_is_not_used_ends(make: Callable[..., Gate], move_clock: Callable[[float], None]) -> None:
    gate = make(SP_SESSION_IDLE="600")
    secret = gate.sign_in(ALICE)
    for _ in range(5):
        move_clock(590)
        assert status(gate, secret) == 200
    move_clock(611)
    assert status(gate, secret) == 401


def test_a_session_ends_however_much_it_is_used(make: Callable[..., Gate], move_clock: Callable[[float], None]) -> None:
    gate = make(SP_SESSION_IDLE="600", SP_SESSION_LIFETIME="1000")
    secret = gate.sign_in(ALICE)
    move_clock(500)
    assert status(gate, secret) == 200
    move_clock(499)
    assert status(gate, secret) == 200
    move_clock(2)
    assert status(gate, secret) == 401


def test_a_session_that_another_worker_uses_is_not_idle(
    make: Callable[..., Gate], move_clock: Callable[[float], None]
) -> None:
    one, other = make(SP_SESSION_IDLE="600", SP_SESSION_CACHE="5"), make(SP_SESSION_IDLE="600", SP_SESSION_CACHE="5")
    secret = one.sign_in(ALICE)
    assert status(one, secret) == 200
    for _ in range(3):
        move_clock(500)
        assert status(other, secret) == 200
    assert status(one, secret) == 200


def test_within_the_cache_time_no_query_is_made(make: Callable[..., Gate]) -> None:
    gate = make(SP_SESSION_CACHE="60")
    secret = gate.sign_in(ALICE)
    assert status(gate, secret) == 200
    gate.queries = 0
    for _ in range(100):
        assert status(gate, secret) == 200
    assert gate.queries == 0


def test_with_a_cache_of_nothing_every_request_asks(make: Callable[..., Gate]) -> None:
    gate = make(SP_SESSION_CACHE="0")
    secret = gate.sign_in(ALICE)
    assert status(gate, secret) == 200
    gate.core.sessions.end(account_id=gate.person(ALICE))
    assert status(gate, secret) == 401


def end_session(gate: Gate) -> None:
    gate.core.sessions.end(account_id=gate.person(ALICE))


def disable(gate: Gate) -> None:
    gate.core.people.disable(gate.person(ALICE))


def leave_the_group(gate: Gate) -> None:
    gate.person(ALICE, groups=[])


@pytest.mark.parametrize(
    ("change", "refused"),
    [(end_session, 401), (disable, 401), (leave_the_group, 403)],
    ids=["ended", "disabled", "out of the group"],
)
def test_a_change_made_elsewhere_counts_within_the_cache_time(
    make: Callable[..., Gate], move_clock: Callable[[float], None], change: Callable[[Gate], None], refused: int
) -> None:
    rules = [{"path": "/staff/", "allow": {"groups": ["staff"]}}]
    here, elsewhere = make(rules, SP_SESSION_CACHE="5"), make(rules, SP_SESSION_CACHE="5")
    secret = here.sign_in(ALICE)
    assert status(here, secret, "/staff/x") == 200
    change(elsewhere)
    move_clock(4.5)
    assert status(here, secret, "/staff/x") == 200
    move_clock(0.6)
    assert status(here, secret, "/staff/x") == refused


def test_only_the_hash_of_the_id_is_kept(gate: Gate) -> None:
    secret = gate.sign_in(ALICE)
    status(gate, secret)
    with gate.core.database.engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM session")).all()
    assert secret not in repr(rows)
    for file in gate.core.config.instance.glob("sp.sqlite3*"):
        assert secret.encode() not in file.read_bytes()


def test_an_id_that_nobody_has_opens_nothing_and_leaves_nothing(make: Callable[..., Gate]) -> None:
    gate = make(SP_SESSION_CACHE="60")
    for _ in range(20):
        assert status(gate, unknown_secret()) == 401
    with gate.core.database.engine.connect() as connection:
        assert connection.execute(select(_session)).all() == []
    assert len(gate.core.sessions._cache) == 0


def test_requests_without_a_session_create_none_and_ask_for_none(gate: Gate) -> None:
    gate.queries = 0
    for headers in (SCRIPT, PAGE):
        answer = gate.ask("/page", headers=headers)
        assert answer.header("Set-Cookie") is None
    assert gate.queries == 0


def test_a_browser_keeps_a_few_pending_sign_ins_at_most(gate: Gate) -> None:
    client = gate.gateway.own.test_client()
    gate.core.provider_store.apply(
        {"corporate": {"default": True, "keys": ["k" * 48], "login_url": "http://127.0.0.1:9/login"}}, actor="test"
    )
    for number in range(20):
        assert client.get(f"/sso/start?return_to=/page/{number}", base_url="http://127.0.0.1:5000").status_code == 303
    assert len([c for c in client._cookies.values() if c.key.startswith("sp_pending_")]) <= 5


def test_of_two_signed_in_people_each_is_taken_for_himself_under_load(make: Callable[..., Gate]) -> None:
    gate = make(SP_SESSION_CACHE="1")
    people = {gate.sign_in(person): person.email for person in (ALICE, CAROL)}
    wrong: list[str] = []

    def ask(secret: str) -> None:
        for _ in range(200):
            session = gate.core.sessions.find(secret)
            if session is None or session.email != people[secret]:
                wrong.append(secret)

    threads = [threading.Thread(target=ask, args=(secret,)) for secret in people for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_last_use_is_written_now_and_then_and_not_at_each_request(
    make: Callable[..., Gate], move_clock: Callable[[float], None]
) -> None:
    gate = make(SP_SESSION_IDLE="3600", SP_SESSION_CACHE="1")
    secret = gate.sign_in(ALICE)
    seen = []
    for _ in range(10):
        move_clock(10)
        assert status(gate, secret) == 200
        with gate.core.database.engine.connect() as connection:
            seen.append(connection.execute(select(_session.c.last_seen_at)).scalar_one())
    assert 2 <= len(set(seen)) <= 3


def test_a_session_whose_clock_runs_backwards_still_ends(
    make: Callable[..., Gate], move_clock: Callable[[float], None]
) -> None:
    gate = make(SP_SESSION_LIFETIME="1000")
    secret = gate.sign_in(ALICE)
    with gate.core.database.engine.execution_options(write=True).begin() as connection:
        connection.execute(update(_session).values(last_seen_at=int(time.time()) + 500))
    move_clock(1001)
    assert status(gate, secret) == 401
