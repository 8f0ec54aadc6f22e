"""Strangers do not fill the disk: refusals beyond a rate are counted, what is old is deleted, and clean-up keeps up."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert, text

from lab.cast import ALICE, CAROL
from shared import folding
from shared.errors import ClaimInvalid, Rejection, SignatureInvalid, TokenMalformed, TokenMissing, UserUnknown
from shared.folding import BURST, KIND_BURST
from shared.tidying import MOST_ROWS
from sp.activity import record as activity
from sp.activity import retention
from sp.activity.record import Visitor
from sp.components import Components
from sp.database.models import Activity, Counter, SessionRecord, SettingsChange, SpentToken
from sp.signin import cleanup as housekeeping
from tests.support.gateway import core_of, make_gateway, migrated_postgresql
from tests.support.stores import PostgreSQL

WHO = Visitor("192.0.2.1", "Looking-Glass/1.0")
DAY = 86_400
LONG = "y" * 990
MakeCore = Callable[..., Components]


@pytest.fixture(params=["sqlite", "postgresql"])
def make_core(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeCore]:
    """Return the function that makes a gateway's parts on the database of this test; each call is another worker."""
    environ: dict[str, str] = {}
    if request.param == "postgresql":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        environ["SP_DATABASE_URL"] = migrated_postgresql(server)
    made: list[Components] = []

    def make(**more: str) -> Components:
        made.append(core_of(make_gateway(tmp_path, None, **environ, **more)))
        return made[-1]

    yield make
    for core in made:
        core.logbook.flush()
        core.housekeeping.finish()
        core.database.engine.dispose()


@pytest.fixture(autouse=True)
def no_allowance_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine."""
    monkeypatch.setattr(folding, "PER_MINUTE", 0)
    monkeypatch.setattr(folding, "KIND_PER_MINUTE", 0)


@pytest.fixture
def core(make_core: MakeCore) -> Components:
    return make_core()


@pytest.fixture
def quiet() -> Iterator[None]:
    """Keep a hundred thousand lines out of the report."""
    log = logging.getLogger("lychgate")
    log.setLevel(logging.WARNING)
    yield
    log.setLevel(logging.NOTSET)


def refuse(core: Components, number: int, rejection: Rejection | None = None) -> str:
    """Reject a stranger who varies everything that can be varied."""
    visitor = Visitor(f"2001:db8:{number % 65536:x}::{number:x}", f"{number} " + "x" * 198)
    why = rejection or (SignatureInvalid, TokenMalformed, TokenMissing)[number % 3](f"{number} {LONG}")
    return core.logbook.note_refusal(why, visitor, reference=f"R{number}")


def flood(core: Components, kind: type[Rejection] = ClaimInvalid) -> int:
    """Refuse until refusals of the *kind* get no line any more; return how many there were."""
    for number in range(10_000):
        if refuse(core, number, kind(f"{number:04} {LONG}")) != f"R{number}":
            return number + 1
    raise AssertionError("there is no end to it")


def flood_of_all_kinds(core: Components) -> None:
    for number in range(BURST // 1000):
        refuse(core, number)


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def one(engine: Engine, query: str) -> Any:
    ((value,),) = rows(engine, query)
    return value


def put(engine: Engine, table: Any, values: list[dict[str, Any]]) -> None:
    with engine.begin() as connection:
        connection.execute(insert(table.__table__), values)


def line(number: int, *, at: int, code: str | None = None) -> dict[str, Any]:
    """Return a row of the activity log."""
    kind = "refused" if code else "sign_in"
    return {"reference": f"L{number}", "at": at, "event": kind, "code": code, "address": "", "user_agent": ""}


# Floods


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("make_core", ["sqlite"], indirect=True)
def test_attack_a_hundred_thousand_refusals_fill_less_than_two_mebibytes(core: Components) -> None:
    def size() -> int:
        with closing(core.database.engine.raw_connection()) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return Path(str(core.database.engine.url.database)).stat().st_size

    before = size()
    for number in range(100_000):
        refuse(core, number)
    core.logbook.flush()
    assert size() - before < 2 * 1024 * 1024
    assert one(core.database.engine, "SELECT sum(times) FROM activity") == 100_000
    assert one(core.database.engine, "SELECT count(*) FROM activity WHERE last_at IS NULL") < BURST // 700 + 60


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("make_core", ["sqlite"], indirect=True)
def test_attack_a_flood_writes_once_a_second_and_not_once_a_refusal(core: Components) -> None:
    """Or it would occupy the writer that sign-ins wait for."""
    written = 0

    def count(*_: object) -> None:
        nonlocal written
        written += 1

    flood_of_all_kinds(core)
    event.listen(core.database.engine, "begin", count)
    for number in range(5_000):
        refuse(core, number)
    core.logbook.flush()
    assert written < 500  # a few each second, however slow the machine is, and the steps of a clean-up


def test_alike_refusals_of_all_workers_are_one_line_whatever_a_stranger_varies(make_core: MakeCore) -> None:
    workers = [make_core(), make_core()]
    for worker in workers:
        flood(worker, SignatureInvalid)
        worker.logbook.flush()
    before = one(workers[0].database.engine, "SELECT sum(times) FROM activity WHERE last_at IS NOT NULL")
    references = {refuse(worker, n, SignatureInvalid(f"{n:04} {LONG}")) for n in range(49) for worker in workers}
    for worker in workers:
        worker.logbook.flush()
    folded = rows(workers[0].database.engine, "SELECT reference, times, code FROM activity WHERE last_at IS NOT NULL")
    assert len(folded) in (1, 2)  # two, if an hour has just ended
    assert sum(times for _reference, times, _code in folded) == before + 2 * 49
    assert {code for _reference, _times, code in folded} == {"signature_invalid"}
    assert references <= {reference for reference, _times, _code in folded}


def test_the_first_ones_have_a_line_each(core: Components) -> None:
    many = KIND_BURST // 1000
    assert [refuse(core, n, UserUnknown("nobody")) for n in range(many)] == [f"R{n}" for n in range(many)]
    assert one(core.database.engine, "SELECT count(*) FROM activity WHERE last_at IS NULL") == many


def test_attack_a_flood_of_bad_tokens_hides_no_guesses_at_passwords(core: Components) -> None:
    flood_of_all_kinds(core)
    core.logbook.note_local_refusal(
        CAROL.email, WHO, reference="GUESS", detail="wrong password", code=activity.WRONG_PASSWORD
    )
    assert rows(core.database.engine, "SELECT email FROM activity WHERE reference = 'GUESS'") == [(CAROL.email,)]


def test_counts_that_cannot_be_written_are_written_with_the_next(core: Components) -> None:
    many = flood(core)
    with core.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE activity RENAME TO elsewhere"))
    core.logbook.flush()
    with core.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO activity"))
    refuse(core, 0, ClaimInvalid(LONG))
    core.logbook.flush()
    assert one(core.database.engine, "SELECT sum(times) FROM activity") == many + 1


def test_counts_are_written_by_themselves_within_seconds(core: Components) -> None:
    many = flood(core)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and one(core.database.engine, "SELECT sum(times) FROM activity") < many:
        time.sleep(0.02)
    assert one(core.database.engine, "SELECT sum(times) FROM activity") == many


# What is deleted, and what stays


def test_lines_and_changes_of_settings_are_kept_for_so_many_days(make_core: MakeCore) -> None:
    core, now = make_core(SP_ACTIVITY_DAYS="30"), int(time.time())
    ages = [29 * DAY, 31 * DAY, 29 * DAY, 31 * DAY]
    put(
        core.database.engine,
        Activity,
        [line(n, at=now - age, code="x" if n > 1 else None) for n, age in enumerate(ages)],
    )
    core.people.create_administrator(CAROL.email, CAROL.password)
    with core.database.engine.begin() as connection:
        old = dict(connection.execute(text("SELECT * FROM settings_change LIMIT 1")).one()._mapping) | {"id": 99}
    put(core.database.engine, SettingsChange, [{**old, "at": datetime_of(now - 31 * DAY), "detail": {}}])
    assert core.housekeeping.clean_up()
    assert rows(core.database.engine, "SELECT reference FROM activity ORDER BY id") == [("L0",), ("L2",)]
    assert one(core.database.engine, "SELECT count(*) FROM settings_change WHERE id = 99") == 0
    assert one(core.database.engine, "SELECT count(*) FROM settings_change") >= 1


def datetime_of(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_nought_days_keep_them_for_ever(make_core: MakeCore) -> None:
    core = make_core(SP_ACTIVITY_DAYS="0")
    put(core.database.engine, Activity, [line(1, at=1)])
    assert core.housekeeping.clean_up()
    assert one(core.database.engine, "SELECT count(*) FROM activity") == 1


def test_more_days_than_there_are_are_for_ever(make_core: MakeCore) -> None:
    core = make_core(SP_ACTIVITY_DAYS="9" * 10)
    put(core.database.engine, Activity, [line(1, at=int(time.time()) - 3000 * DAY)])
    assert core.housekeeping.clean_up()
    assert one(core.database.engine, "SELECT count(*) FROM activity") == 1


def test_attack_refusals_beyond_a_number_go_the_oldest_first_and_never_a_good_sign_in(core: Components) -> None:
    now = int(time.time())
    put(core.database.engine, Activity, [line(n, at=now, code="token_expired" if n % 2 else None) for n in range(60)])
    steps = retention.steps(core.database, now, 0, most=10)
    with core.database.engine.execution_options(write=True).begin() as connection:
        assert [step(connection, 15) for _ in range(3) for step in steps] == [15, 5, 0]
    left = [reference for (reference,) in rows(core.database.engine, "SELECT reference FROM activity ORDER BY id")]
    assert left == [f"L{n}" for n in range(60) if n % 2 == 0 or n >= 40]


def test_clean_up_keeps_up_with_whatever_has_run_out(core: Components) -> None:
    """Thousands of rows are all deleted, and no step has deleted more than a hundred."""
    now, many = int(time.time()), 2_500
    core.people.create_administrator(ALICE.email, ALICE.password)
    account = one(core.database.engine, "SELECT id FROM account")
    put(core.database.engine, SpentToken, [{"key": n.to_bytes(16), "expires_at": now - 1} for n in range(many)])
    put(core.database.engine, SessionRecord, [session(n, account, now - 1) for n in range(many)])
    put(core.database.engine, Activity, [line(n, at=now - 91 * DAY) for n in range(many)])
    ended = {"count": 1, "ends_at": datetime_of(now - 1)}
    put(core.database.engine, Counter, [{"key": str(n), **ended} for n in range(many)])
    deleted: list[int] = []

    @event.listens_for(core.database.engine, "after_cursor_execute")
    def note(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE"):
            deleted.append(cursor.rowcount)

    assert core.housekeeping.clean_up(seconds=120)
    for table in ("spent_token", "session", "activity", "counter"):
        assert one(core.database.engine, f"SELECT count(*) FROM {table}") == 0  # noqa: S608
    assert sum(deleted) == 4 * many
    assert max(deleted) <= MOST_ROWS


def session(number: int, account: int, expires_at: int) -> dict[str, Any]:
    return {
        "id_hash": number.to_bytes(32),
        "public_id": str(number),
        "kind": "browser",
        "account_id": account,
        "claims": {},
        "created_at": 1,
        "expires_at": expires_at,
        "address": "",
        "user_agent": "",
        "return_path": "/",
    }


def test_a_run_ends_after_its_time_and_says_that_something_is_left(core: Components) -> None:
    put(core.database.engine, SpentToken, [{"key": n.to_bytes(16), "expires_at": 1} for n in range(MOST_ROWS + 1)])
    assert not core.housekeeping.clean_up(seconds=1e-9)
    assert one(core.database.engine, "SELECT count(*) FROM spent_token") == 1


def test_refusals_alone_bring_a_clean_up_about(core: Components, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway under attack, without any successful sign-in, cleans up as well."""
    monkeypatch.setattr(housekeeping, "SOON", 0.0)
    put(core.database.engine, SpentToken, [{"key": b"k" * 16, "expires_at": 1}])
    for number in range(housekeeping.MUCH):
        refuse(core, number)
    core.housekeeping.finish()
    assert one(core.database.engine, "SELECT count(*) FROM spent_token") == 0


@pytest.mark.parametrize("make_core", ["sqlite"], indirect=True)
def test_each_step_finds_its_rows_by_an_index(core: Components) -> None:
    now, plans = int(time.time()), []
    put(core.database.engine, Activity, [line(n, at=now, code="x") for n in range(3)])

    @event.listens_for(core.database.engine, "before_cursor_execute")
    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("DELETE", "SELECT activity.id")):
            plan = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            plans.append("; ".join(row[3] for row in plan))

    steps = retention.steps(core.database, now, 90, most=1)
    assert len(steps) == 4
    with core.database.engine.execution_options(write=True).begin() as connection:
        for step in steps:
            step(connection, MOST_ROWS)
    assert core.housekeeping.clean_up()
    assert len(plans) >= 8
    for plan in plans:
        assert "SCAN" not in plan.replace("SCAN activity USING INDEX activity_refused", ""), plan
        assert "TEMP B-TREE" not in plan, plan
