"""Transactions that meet on SQLite share one commit: what one of them does wrong is not seen in the others.

The first of a group starts the others itself, and waits until they are in the queue. So each test knows who meets.
"""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event, select, text
from sqlalchemy.exc import OperationalError

from shared.breaker import STALL, Breaker, StoreHangs
from shared.errors import StoreUnavailable, TokenReplayed
from shared.schema import make_engine
from sp.database import shared_commits
from sp.database.access import Database
from sp.database.shared_commits import MOST, OutcomeUnknown, SharedCommits
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 30  # at most, for what takes milliseconds
WRITE = text("INSERT INTO kept VALUES (:name, zeroblob(:size))")
Work = Callable[[Connection], object]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = make_engine(f"sqlite:///{tmp_path / 'some.sqlite3'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept (name TEXT PRIMARY KEY, filler BLOB)"))
    yield engine
    engine.dispose()


@pytest.fixture
def database(engine: Engine) -> Database:
    return Database(engine)


def write(name: str, size: int = 0) -> Work:
    def work(connection: Connection) -> str:
        connection.execute(WRITE, {"name": name, "size": size})
        return name

    return work


def failing(name: str, error: BaseException) -> Work:
    def work(connection: Connection) -> None:
        write(name)(connection)
        raise error

    return work


def kept(database: Database) -> set[str]:
    with database.engine.connect() as connection:
        return set(connection.execute(select(text("name")).select_from(text("kept"))).scalars())


class Meeting:
    """Works that meet in one transaction, and what each of them got."""

    def __init__(self, database: Database, works: dict[str, Work]) -> None:
        self.works, self.got = works, dict[str, object]()
        self._database = database
        self._threads = [threading.Thread(target=self._run, args=(name,), daemon=True) for name in works]

    def run(self, *, until: threading.Event | None = None) -> dict[str, object]:
        """Let them meet; return what each of them got. *until*: only wait for this event, not for the others."""
        self._threads[0].start()
        if until is not None:
            assert until.wait(SECONDS)
            return self.got
        return self.end()

    def end(self) -> dict[str, object]:
        for thread in self._threads:
            thread.join(SECONDS)
        return self.got

    def _run(self, name: str) -> None:
        is_first = name == next(iter(self.works))
        try:
            self.got[name] = self._database.together(self._first if is_first else self.works[name])
        except BaseException as error:
            self.got[name] = error

    def _first(self, connection: Connection) -> object:
        queue = self._database._shared._waiting  # type: ignore[union-attr]
        for number, thread in enumerate(self._threads[1:], start=1):
            thread.start()
            wait_until(lambda number=number: len(queue) == number)  # type: ignore[misc]
        return next(iter(self.works.values()))(connection)


def hold_commits(database: Database) -> tuple[threading.Event, threading.Event]:
    """Hold each commit from now on. Return what tells that one has begun, and what lets them end."""
    begun, may_end = threading.Event(), threading.Event()

    def hold(_connection: Connection) -> None:
        begun.set()
        assert may_end.wait(SECONDS)

    event.listen(database.engine, "commit", hold)
    return begun, may_end


def commits_of(engine: Engine) -> list[None]:
    commits: list[None] = []
    event.listen(engine, "commit", lambda _connection: commits.append(None))
    return commits


def names(number: int) -> list[str]:
    return [f"n{position}" for position in range(number)]


# --- One of them fails ---


@pytest.mark.parametrize("position", [0, 7, 15])
@pytest.mark.parametrize("error", [TokenReplayed("used before"), MemoryError(), RecursionError(), KeyError("k")])
def test_of_sixteen_one_that_is_refused_leaves_no_trace_in_the_others(
    database: Database, position: int, error: Exception
) -> None:
    works = {name: write(name) for name in names(MOST)}
    refused = names(MOST)[position]
    works[refused] = failing(refused, error)
    commits = commits_of(database.engine)
    got = Meeting(database, works).run()
    assert got == {name: name for name in works} | {refused: error}
    assert kept(database) == set(works) - {refused}
    assert len(commits) == 1


def test_a_row_that_another_one_of_the_group_has_just_written_is_there_already(database: Database) -> None:
    got = Meeting(database, {"first": write("same"), "second": write("same"), "third": write("other")}).run()
    assert (got["first"], got["third"]) == ("same", "other")
    assert type(got["second"]).__name__ == "IntegrityError"
    assert kept(database) == {"same", "other"}


def test_a_group_whose_members_all_fail_is_not_committed(database: Database) -> None:
    commits = commits_of(database.engine)
    Meeting(database, {name: failing(name, KeyError()) for name in names(3)}).run()
    assert (kept(database), commits) == (set(), [])


# --- The whole group fails ---


def test_if_the_commit_fails_every_one_is_told_and_nothing_is_kept(database: Database) -> None:
    def fail(_connection: Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    event.listen(database.engine, "commit", fail)
    works = {name: write(name) for name in names(4)} | {"refused": failing("refused", TokenReplayed("by another"))}
    got = Meeting(database, works).run()
    assert isinstance(got.pop("n0"), sqlite3.OperationalError)  # its own thread committed
    assert {type(error) for error in got.values()} == {StoreUnavailable}  # also for what rested on the others
    event.remove(database.engine, "commit", fail)
    assert kept(database) == set()
    assert database.together(write("next")) == "next"


def test_an_exception_that_ends_a_thread_undoes_its_group_and_frees_the_others(database: Database) -> None:
    works = {name: write(name) for name in names(3)} | {"ends": failing("ends", SystemExit())}
    got = Meeting(database, works).run()
    assert isinstance(got.pop("n0"), SystemExit)  # its own thread did the work
    assert {type(error) for error in got.values()} == {StoreUnavailable}
    assert kept(database) == set()
    assert database.together(write("next")) == "next"


def test_if_the_thread_that_leads_ends_those_who_wait_are_led_by_the_next(database: Database) -> None:
    works = {"ends": failing("ends", SystemExit())} | {name: write(name) for name in names(3)}
    got = Meeting(database, works).run()
    assert isinstance(got.pop("ends"), SystemExit)
    assert set(got.values()) == kept(database) == set(names(3))


@pytest.mark.parametrize("tells", [True, False])
def test_if_sqlite_undoes_the_transaction_by_itself_nothing_is_written_after_that(
    database: Database, tells: bool
) -> None:
    """A savepoint outside a transaction begins one, and its release commits it."""

    def undo(connection: Connection) -> None:
        driver = connection.connection.dbapi_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.execute("ROLLBACK")
        if tells:
            raise sqlite3.OperationalError("database or disk is full")

    got = Meeting(database, {"before": write("before"), "undoes": undo, "after": write("after")}).run()
    assert got.pop("after") == "after"  # in a transaction of the next group
    assert {type(error) for error in got.values()} == {StoreUnavailable}
    assert kept(database) == {"after"}


def test_on_a_full_disk_those_are_kept_who_were_told_so(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'small.sqlite3'}")
    event.listen(engine, "connect", lambda connection, _record: connection.execute("PRAGMA max_page_count = 20"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept (name TEXT PRIMARY KEY, filler BLOB)"))
    database = Database(engine)
    got = Meeting(database, {name: write(name, 15_000) for name in names(8)}).run()
    told = {name for name, result in got.items() if result == name}
    assert kept(database) == told
    assert {type(result) for name, result in got.items() if name not in told} == {StoreUnavailable}
    engine.dispose()


def test_if_the_transaction_cannot_begin_each_of_those_who_wait_is_told(database: Database) -> None:
    def refuse(_connection: Connection) -> None:
        raise OperationalError("BEGIN", None, sqlite3.OperationalError("unable to open database file"))

    def break_the_next(connection: Connection) -> None:
        event.listen(database.engine, "begin", refuse)
        raise SystemExit  # the group of the others has not begun yet

    got = Meeting(database, {"breaks": break_the_next} | {name: write(name) for name in names(3)}).run()
    del got["breaks"]
    assert {type(error) for error in got.values()} == {StoreUnavailable}
    event.remove(database.engine, "begin", refuse)
    assert database.together(write("next")) == "next"
    assert kept(database) == {"next"}


WITH_OWN_FOLDER_FOR_TEMPORARY_FILES = """
import sys
from sqlalchemy import text
from shared.schema import make_engine
from sp.database.access import Database
database = Database(make_engine(sys.argv[1]))
database.together(lambda connection: connection.execute(text("UPDATE kept SET filler = zeroblob(3001)")) and None)
"""


def test_attack_a_shared_commit_needs_no_folder_for_temporary_files(database: Database, tmp_path: Path) -> None:
    """A container's file system may be read-only, but for the database; /tmp may be full."""
    for name in names(100):
        database.together(write(name, 3000))
    folder = tmp_path / "temporary"
    folder.mkdir()
    os.utime(folder, (1, 1))  # a file that is made and deleted changes it
    arguments = [sys.executable, "-c", WITH_OWN_FOLDER_FOR_TEMPORARY_FILES, f"sqlite:///{tmp_path / 'some.sqlite3'}"]
    environ = {**os.environ, "SQLITE_TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    subprocess.run(arguments, env=environ, check=True, timeout=SECONDS)
    with database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM kept WHERE length(filler) = 3001")).scalar() == 100
    assert folder.stat().st_mtime == 1


# --- Answers and groups ---


def test_no_one_is_answered_before_the_commit_that_holds_its_rows(database: Database) -> None:
    begun, may_end = hold_commits(database)
    works = {name: write(name) for name in names(4)} | {"refused": failing("refused", TokenReplayed("used before"))}
    meeting = Meeting(database, works)
    got = meeting.run(until=begun)
    assert (got, kept(database)) == ({}, set())
    may_end.set()
    meeting.end()
    assert set(got) == set(works)
    assert kept(database) == set(names(4))


def test_those_who_come_during_a_commit_share_the_next_one_and_a_group_is_bounded(database: Database) -> None:
    commits = commits_of(database.engine)
    got = Meeting(database, {name: write(name) for name in names(2 * MOST + 3)}).run()
    assert set(got.values()) == kept(database) == set(names(2 * MOST + 3))
    assert len(commits) == 3


def test_one_alone_waits_for_no_other(database: Database) -> None:
    """From the call to the commit it works all the time: the shortest wait of many tells, on a busy machine too."""

    def waited() -> float:
        return time.perf_counter() - time.thread_time()

    began = [0.0]
    waits: list[float] = []
    event.listen(database.engine, "commit", lambda _connection: waits.append(waited() - began[0]))
    for number in range(30):
        began[0] = waited()
        database.together(write(str(number)))
    assert min(waits) < 0.0005


def test_each_works_in_the_context_of_its_own_request(database: Database) -> None:
    request: ContextVar[str] = ContextVar("request", default="")

    def work(_connection: Connection) -> str:
        return request.get()

    meeting = Meeting(database, dict.fromkeys(names(3), work))
    together = database.together

    def as_a_request(work: Work) -> object:
        request.set(threading.current_thread().name)
        return together(work)

    database.together = as_a_request  # type: ignore[method-assign, assignment]
    got = meeting.run()
    assert len(set(got.values())) == 3
    assert "" not in got.values()


# --- Waits have limits ---


def test_who_waits_too_long_for_its_turn_is_told_and_its_work_is_never_done(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_commits, "TURN", 0.05)
    begun, may_end = hold_commits(database)
    first = Meeting(database, {"first": write("first")})
    first.run(until=begun)
    with pytest.raises(StoreUnavailable, match="took too long") as refused:
        database.together(write("late"))
    assert not isinstance(refused.value, OutcomeUnknown)
    may_end.set()
    assert first.end() == {"first": "first"}
    assert database.together(write("next")) == "next"
    assert kept(database) == {"first", "next"}


def test_who_has_waited_for_a_group_waits_less_for_the_lock(database: Database) -> None:
    """Else it would wait for both as long as one may: longer than every request is answered in."""
    assert database._shared is not None
    given: list[float] = []
    begin = database._shared._begin

    def note(seconds: float) -> AbstractContextManager[Connection]:
        given.append(seconds)
        return begin(seconds)

    database._shared._begin = note
    waited = 0.2  # seconds

    def hold(_connection: Connection) -> None:
        if len(given) == 1:
            time.sleep(waited)

    event.listen(database.engine, "commit", hold)
    Meeting(database, {name: write(name) for name in names(MOST + 1)}).run()
    assert len(given) == 2
    assert shared_commits.TURN - 0.1 < given[0] <= shared_commits.TURN
    assert given[1] <= shared_commits.TURN - waited


def test_who_waits_too_long_for_a_commit_does_not_know_what_became_of_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_commits, "TURN", 0.05)
    monkeypatch.setattr(shared_commits, "ANSWER", 0.1)
    begun, may_end = hold_commits(database)
    meeting = Meeting(database, {"n0": write("n0"), "n1": write("n1")})
    got = meeting.run(until=begun)
    wait_until(lambda: "n1" in got)
    assert isinstance(got["n1"], OutcomeUnknown)
    may_end.set()
    assert meeting.end()["n0"] == "n0"
    assert kept(database) == {"n0", "n1"}


def test_attack_who_waits_in_vain_for_a_commit_does_not_wait_once_more_to_log_the_refusal(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two waits in one request would be longer than the five seconds within which every request is answered."""
    monkeypatch.setattr(shared_commits, "TURN", 0.05)
    monkeypatch.setattr(shared_commits, "ANSWER", 0.1)
    breaker = Breaker(lambda: 1000.0, stall_when_full=STALL)
    database._shared = SharedCommits(lambda _seconds: database._writing.begin(), breaker)
    begun, may_end = hold_commits(database)
    meeting = Meeting(database, {"n0": write("n0"), "n1": write("n1")})
    got = meeting.run(until=begun)
    wait_until(lambda: "n1" in got)
    assert isinstance(got["n1"], OutcomeUnknown)
    with pytest.raises(StoreHangs):
        breaker.admit()
    may_end.set()
    assert meeting.end()["n0"] == "n0"


def test_while_a_commit_hangs_further_ones_are_refused_at_once(database: Database) -> None:
    now = [1000.0]
    assert database._shared is not None
    shared = database._shared = SharedCommits(database._shared._begin, Breaker(lambda: now[0], stall_when_full=STALL))
    begun, may_end = hold_commits(database)
    first, second = Meeting(database, {"first": write("first")}), Meeting(database, {"second": write("second")})
    first.run(until=begun)
    second._threads[0].start()
    wait_until(lambda: len(shared._waiting) == 1)
    now[0] += STALL
    third = Meeting(database, {"third": write("third")})  # one request a second is admitted, as a test
    third._threads[0].start()
    wait_until(lambda: len(shared._waiting) == 2)
    for _ in range(20):
        with pytest.raises(StoreUnavailable, match="hangs"):
            database.together(write("refused"))
    may_end.set()
    for meeting in (first, second, third):
        meeting.end()
    assert kept(database) == {"first", "second", "third"}


def test_many_threads_that_come_and_fail_as_they_like_lose_nothing(database: Database) -> None:
    expected: set[str] = set()

    def come(number: int) -> None:
        for turn in range(25):
            name = f"{number}-{turn}"
            if (number + turn) % 3:
                assert database.together(write(name)) == name
                expected.add(name)
            else:
                with suppress(KeyError):
                    database.together(failing(name, KeyError()))

    threads = [threading.Thread(target=come, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert kept(database) == expected
    assert len(expected) == 333
    assert not database._shared._is_led  # type: ignore[union-attr]
