"""Sessions live on the server: found by a secret, ended at once, and bounded by two clocks."""

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, insert, select, text

from lab.cast import ALICE, BOB
from shared.errors import StoreUnavailable
from sp.database.access import Database
from sp.database.models import Account, SessionRecord
from sp.sessions.listing import SessionFinder
from sp.sessions.store import API, BROWSER, NewSession, Origin, SessionStore, hash_id
from tests.support.gateway import core_of, make_gateway

IDLE, LIFETIME = 600, 7200


class Clock:
    """The clock of the session store and of the programs; it stops until the test moves it."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def time(self) -> float:
        return self.now

    monotonic = time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("sp.sessions.store", "shared.clock"):
        monkeypatch.setattr(f"{module}.time", clock)
    return clock


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A database with Alice, who is account 1, and Bob, who is 2."""
    engine = core_of(make_gateway(tmp_path)).database.engine
    with engine.begin() as connection:
        for person in (ALICE, BOB):
            values = {"email": person.email, "email_key": person.email, "given_name": person.given_name}
            state = {"is_active": True, "is_admin": False, "created_at": datetime.now(UTC)}
            connection.execute(insert(Account), {**values, **state, "groups": ["staff"], "attributes": {}})
    yield engine
    engine.dispose()


def store(engine: Engine, cache: int = 0) -> SessionStore:
    """Return a worker's store, with a separate cache."""
    return SessionStore(Database(engine), idle=IDLE, lifetime=LIFETIME, cache=cache)


def opened(
    engine: Engine, clock: Clock, account_id: int = 1, kind: str = BROWSER, opened_with: NewSession | None = None
) -> NewSession:
    new, origin = NewSession.generate(), Origin(account_id, claims={"a": "ü"})
    with engine.begin() as connection:
        store(engine).open(connection, new, origin, now=int(clock.now), kind=kind, opened_with=opened_with)
    return new


def last_seen(engine: Engine, new: NewSession) -> int | None:
    with engine.connect() as connection:
        query = select(SessionRecord.last_seen_at).where(SessionRecord.id_hash == new.id_hash)
        return connection.execute(query).scalar_one()


# --- Secrets ---


def test_a_session_is_found_by_its_secret_and_tells_whose_it_is(engine: Engine, clock: Clock) -> None:
    new = opened(engine, clock)
    session = store(engine).find(new.secret)
    assert session is not None
    assert (session.account_id, session.email, session.groups) == (1, ALICE.email, ("staff",))
    assert (session.full_name, session.kind, session.public_id) == ("Alice", BROWSER, new.public_id)
    assert (session.created_at, session.expires_at) == (clock.now, clock.now + LIFETIME)


def test_the_database_holds_no_secret(engine: Engine, clock: Clock) -> None:
    new = opened(engine, clock)
    with engine.connect() as connection:
        row = connection.execute(select(SessionRecord.__table__)).mappings().one()
    assert row["id_hash"] == hashlib.sha256(new.secret.encode()).digest() == new.id_hash
    assert new.secret not in str(dict(row))
    assert new.public_id not in new.secret


def test_secrets_are_long_and_never_the_same() -> None:
    secrets = {NewSession.generate().secret for _ in range(500)}
    assert len(secrets) == 500
    assert {len(secret) for secret in secrets} == {43}
    assert len({NewSession.generate().public_id for _ in range(500)}) == 500


OTHERS: dict[str, Callable[[str], str]] = {
    "empty": lambda secret: "",
    "shorter": lambda secret: secret[:-1],
    "longer": lambda secret: secret + "A",
    "other case": lambda secret: secret.swapcase(),
    "other letters": lambda secret: "ü" * 43,
    "guessed": lambda secret: "A" * 43,
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_any_other_secret_finds_nothing(engine: Engine, clock: Clock, change: Callable[[str], str]) -> None:
    new = opened(engine, clock)
    assert store(engine).find(change(new.secret)) is None


def test_the_hash_or_the_public_name_of_a_session_opens_nothing(engine: Engine, clock: Clock) -> None:
    new = opened(engine, clock)
    for text_ in (new.id_hash.hex()[:43], new.public_id.ljust(43, "0"), hash_id("x").hex()[:43]):
        assert store(engine).find(text_) is None


def test_a_browsers_session_is_no_access_token_nor_the_other_way_round(engine: Engine, clock: Clock) -> None:
    browser, api = opened(engine, clock), opened(engine, clock, kind=API)
    for cache in (0, 60):
        sessions = store(engine, cache)
        assert sessions.find(browser.secret, BROWSER)
        assert sessions.find(browser.secret, API) is None
        assert sessions.find(api.secret, API)
        assert sessions.find(api.secret, BROWSER) is None


# --- The two clocks ---


@pytest.mark.parametrize("cache", [0, 60])
def test_a_session_that_is_used_lives_until_its_absolute_limit(engine: Engine, clock: Clock, cache: int) -> None:
    new, sessions = opened(engine, clock), store(engine, cache)
    start = clock.now
    while clock.now < start + LIFETIME - IDLE / 2:
        clock.now += IDLE / 2
        assert sessions.find(new.secret), clock.now - start
    clock.now = start + LIFETIME - 1
    assert sessions.find(new.secret)
    clock.now = start + LIFETIME
    assert sessions.find(new.secret) is None


@pytest.mark.parametrize("cache", [0, 6000])
def test_a_session_that_is_not_used_lives_until_its_idle_limit(engine: Engine, clock: Clock, cache: int) -> None:
    new, sessions = opened(engine, clock), store(engine, cache)
    clock.now += IDLE
    assert sessions.find(new.secret)
    clock.now += IDLE
    assert sessions.find(new.secret)
    clock.now += IDLE + 1
    assert sessions.find(new.secret) is None


def test_the_last_use_is_written_now_and_then_and_not_at_every_request(engine: Engine, clock: Clock) -> None:
    new, sessions = opened(engine, clock), store(engine)
    assert last_seen(engine, new) is None
    sessions.find(new.secret)
    first = last_seen(engine, new)
    assert first == clock.now
    clock.now += IDLE // 60
    sessions.find(new.secret)
    assert last_seen(engine, new) == first
    clock.now += 1
    sessions.find(new.secret)
    assert last_seen(engine, new) == clock.now


def test_what_has_run_out_is_cleaned_up_and_nothing_else(engine: Engine, clock: Clock) -> None:
    old = [opened(engine, clock) for _ in range(3)]
    clock.now += LIFETIME + 1
    new, sessions = opened(engine, clock), store(engine)
    with engine.begin() as connection:
        sessions.clean_up(int(clock.now), connection, rows=2)
        assert connection.execute(select(func.count()).select_from(SessionRecord)).scalar() == 2
        sessions.clean_up(int(clock.now), connection, rows=2)
        assert connection.execute(select(func.count()).select_from(SessionRecord)).scalar() == 1
    assert sessions.find(new.secret)
    assert all(sessions.find(session.secret) is None for session in old)


# --- Ending ---


def test_a_session_is_ended_by_its_hash_its_name_or_its_account(engine: Engine, clock: Clock) -> None:
    sessions = store(engine, 60)
    mine = [opened(engine, clock) for _ in range(4)]
    bobs = opened(engine, clock, account_id=2)
    assert all(sessions.find(session.secret) for session in (*mine, bobs))
    assert sessions.end(id_hash=mine[0].id_hash) == 1
    assert sessions.end(public_id=mine[1].public_id) == 1
    assert sessions.end(public_id=bobs.public_id, account_id=1) == 0  # an account cannot end the session of another
    assert [sessions.find(session.secret) is not None for session in mine] == [False, False, True, True]
    assert sessions.end(account_id=1) == 2
    assert all(sessions.find(session.secret) is None for session in mine)
    assert sessions.find(bobs.secret)
    assert sessions.end(account_id=1) == 0


@pytest.mark.parametrize("how", ["id_hash", "public_id", "account_id"])
def test_what_was_opened_with_a_session_ends_with_it_and_nothing_else_does(
    engine: Engine, clock: Clock, how: str
) -> None:
    sessions = store(engine, 60)
    browser, other = opened(engine, clock), opened(engine, clock, account_id=2)
    token = opened(engine, clock, kind=API, opened_with=browser)
    others_token = opened(engine, clock, account_id=2, kind=API, opened_with=other)
    assert sessions.find(token.secret, API)
    names: dict[str, Any] = {"id_hash": browser.id_hash, "public_id": browser.public_id, "account_id": 1}
    assert sessions.end(**{how: names[how]}) == 2
    assert sessions.find(browser.secret) is None
    assert sessions.find(token.secret, API) is None
    assert sessions.find(other.secret)
    assert sessions.find(others_token.secret, API)


def test_a_session_goes_on_when_what_was_opened_with_it_ends(engine: Engine, clock: Clock) -> None:
    sessions, browser = store(engine), opened(engine, clock)
    token = opened(engine, clock, kind=API, opened_with=browser)
    assert sessions.end(id_hash=token.id_hash) == 1
    assert sessions.find(browser.secret)


def test_ending_every_session_needs_to_be_asked_for(engine: Engine) -> None:
    with pytest.raises(ValueError, match="needs to be asked for"):
        store(engine).end()


def test_another_worker_believes_an_ended_session_for_the_time_of_its_cache_and_no_longer(
    engine: Engine, clock: Clock
) -> None:
    new, here, elsewhere = opened(engine, clock), store(engine, 5), store(engine, 5)
    assert elsewhere.find(new.secret)
    here.end(id_hash=new.id_hash)
    assert here.find(new.secret) is None
    clock.now += 4.9
    assert elsewhere.find(new.secret)
    clock.now += 0.1
    assert elsewhere.find(new.secret) is None


def test_without_a_cache_an_ended_session_is_gone_everywhere_at_once(engine: Engine, clock: Clock) -> None:
    new, here, elsewhere = opened(engine, clock), store(engine), store(engine)
    assert elsewhere.find(new.secret)
    here.end(id_hash=new.id_hash)
    assert elsewhere.find(new.secret) is None


@pytest.mark.parametrize("cache", [0, 5])
def test_a_disabled_account_has_no_sessions(engine: Engine, clock: Clock, cache: int) -> None:
    new, sessions = opened(engine, clock), store(engine, cache)
    assert sessions.find(new.secret)
    with engine.begin() as connection:
        connection.execute(text("UPDATE account SET is_active = false WHERE id = 1"))
    clock.now += cache
    assert sessions.find(new.secret) is None


def test_a_store_that_cannot_answer_is_no_missing_session(engine: Engine, clock: Clock) -> None:
    new, sessions = opened(engine, clock), store(engine)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE session RENAME TO elsewhere"))
    with pytest.raises(StoreUnavailable):
        sessions.find(new.secret)
    with pytest.raises(StoreUnavailable):
        sessions.end(id_hash=new.id_hash)


# --- Looking at them ---


def test_a_person_sees_the_live_sessions_only_newest_first(engine: Engine, clock: Clock) -> None:
    finder = SessionFinder(Database(engine), idle=IDLE, lifetime=LIFETIME)
    first = opened(engine, clock)
    clock.now += IDLE + 1  # the first one is idle by now
    second = opened(engine, clock)
    clock.now += 5
    third = opened(engine, clock)
    opened(engine, clock, account_id=2)
    assert [detail.public_id for detail in finder.list_of(1)] == [third.public_id, second.public_id]
    detail = finder.detail(first.public_id)
    assert detail is not None
    assert detail.claims == {"a": "ü"}
    assert finder.detail("unknown") is None
