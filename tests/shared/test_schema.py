"""The writers of a process wait for one lock; however one of them ends, the next one gets it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from shared import sqlite
from shared.schema import DatabaseError, make_engine

ASLEEP = 0.4  # seconds: SQLite's pauses between two tries have become long


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = make_engine(f"sqlite:///{tmp_path / 'some.sqlite3'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE sums (total INTEGER)"))
        connection.execute(text("INSERT INTO sums VALUES (0)"))
    yield engine
    engine.dispose()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "TURN", 0.05)
    monkeypatch.setattr(sqlite, "BUSY_MS", 50)


def add_one(engine: Engine) -> None:
    with engine.execution_options(write=True).begin() as connection:
        total = connection.execute(text("SELECT total FROM sums")).scalar_one()
        connection.execute(text("UPDATE sums SET total = :total"), {"total": total + 1})


def total(engine: Engine) -> int:
    with engine.connect() as connection:
        found: int = connection.execute(text("SELECT total FROM sums")).scalar_one()
        return found


def test_what_is_read_and_then_written_is_lost_by_none_of_many_threads(engine: Engine) -> None:
    def add_often() -> None:
        for _ in range(25):
            add_one(engine)

    threads = [threading.Thread(target=add_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert total(engine) == 200


def test_a_writer_that_fails_leaves_the_door_open(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), engine.execution_options(write=True).begin():
        raise ZeroDivisionError
    add_one(engine)
    assert total(engine) == 1


def test_a_writer_whose_connection_breaks_leaves_the_door_open(engine: Engine) -> None:
    with engine.execution_options(write=True).connect() as connection:
        connection.begin()
        connection.invalidate()
    add_one(engine)
    assert total(engine) == 1


@pytest.mark.usefixtures("impatient")
def test_who_waits_too_long_for_another_process_is_told_so_and_leaves_the_door_open(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'shared.sqlite3'}")
    other = sqlite3.connect(tmp_path / "shared.sqlite3", isolation_level=None)
    other.execute("CREATE TABLE sums (total INTEGER)")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseError, match="locked"):
        add_one(engine)
    other.execute("INSERT INTO sums VALUES (0)")
    other.execute("COMMIT")
    add_one(engine)
    assert total(engine) == 1


@pytest.mark.usefixtures("impatient")
def test_who_waits_too_long_for_another_thread_is_told_so(engine: Engine) -> None:
    with engine.execution_options(write=True).begin():
        outcome: list[str] = []

        def impatiently() -> None:
            try:
                add_one(engine)
            except DatabaseError as error:
                outcome.append(str(error))

        thread = threading.Thread(target=impatiently)
        thread.start()
        thread.join(10)
    assert len(outcome) == 1
    assert "another thread of this process has held the write lock all the time" in outcome[0]
    add_one(engine)
    assert total(engine) == 1


def test_a_thread_that_has_waited_before_waits_less_for_its_turn(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "TURN", 60.0)
    outcome: list[BaseException] = []

    def write() -> None:
        try:
            with sqlite.turn_within(0.05):
                add_one(engine)
        except DatabaseError as error:
            outcome.append(error)

    with engine.execution_options(write=True).begin():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join(30)
    assert len(outcome) == 1
    add_one(engine)
    assert total(engine) == 1


@pytest.mark.usefixtures("impatient")
def test_a_program_that_starts_waits_longer_than_one_that_serves(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'some.sqlite3'}")
    other = sqlite3.connect(tmp_path / "some.sqlite3", isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE sums (total INTEGER)")
    other.execute("INSERT INTO sums VALUES (0)")
    other.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(1, other.execute, ["COMMIT"])  # ten times as long as a program that serves would wait
    release.start()
    with sqlite.patient(engine):
        add_one(engine)
    release.join()
    assert total(engine) == 1
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DatabaseError, match="another process has held the write lock all the time; try again"):
        add_one(engine)
    other.close()
    engine.dispose()


def test_one_connection_may_write_in_two_transactions(engine: Engine) -> None:
    with engine.execution_options(write=True).connect() as connection:
        for _ in range(2):
            with connection.begin():
                connection.execute(text("UPDATE sums SET total = total + 1"))
    add_one(engine)
    assert total(engine) == 3


ANOTHER_PROCESS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
connection.execute("UPDATE sums SET total = total + 1")
connection.close()
"""


def test_a_new_connection_takes_no_lock_away_from_the_others(engine: Engine) -> None:
    """Closing any handle of a file drops every POSIX lock that a process holds on it, SQLite's own too.

    A process that ends then takes itself for the last one, and deletes the log that all others write to.
    """
    log = Path(f"{engine.url.database}-wal")
    with engine.connect() as first, engine.connect() as second:
        assert first.connection.dbapi_connection is not second.connection.dbapi_connection
        before = log.stat().st_ino
        command = [sys.executable, "-c", ANOTHER_PROCESS, str(engine.url.database)]
        subprocess.run(command, check=True, timeout=60)
        assert log.stat().st_ino == before


WRITING_ALL_THE_TIME = """
import sys, threading
from sqlalchemy import text
from shared.schema import make_engine
writing = make_engine(f"sqlite:///{sys.argv[1]}").execution_options(write=True)
enough = threading.Event()
def write():
    while not enough.is_set():
        with writing.begin() as connection:
            connection.execute(text("UPDATE sums SET total = total + 1"))
threads = [threading.Thread(target=write) for _ in range(8)]
for step in ("ready", "begun"):
    print(step, flush=True)
    sys.stdin.readline()
    if step == "ready":
        for thread in threads:
            thread.start()
enough.set()
for thread in threads:
    thread.join()
"""


def test_a_process_that_writes_all_the_time_does_not_overtake_one_that_waits_for_the_lock(engine: Engine) -> None:
    """Without a turnstile many of its writes come first: SQLite's waiters sleep, longer each time."""
    database, found = str(engine.url.database), list[int]()

    def write() -> None:
        with engine.execution_options(write=True).begin() as connection:
            found.append(connection.execute(text("SELECT total FROM sums")).scalar_one())

    command = [sys.executable, "-c", WRITING_ALL_THE_TIME, database]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        try:
            assert other.stdout.readline() == "ready\n"
            with closing(sqlite3.connect(database, isolation_level=None)) as holder:
                holder.execute("BEGIN IMMEDIATE")
                waiting = threading.Thread(target=write)
                waiting.start()
                deadline = time.monotonic() + 30
                while not is_taken(Path(f"{database}.turn")):
                    assert time.monotonic() < deadline
                other.stdin.write("begin\n")
                other.stdin.flush()
                assert other.stdout.readline() == "begun\n"
                waiting.join(ASLEEP)  # nothing depends on it, but without a turnstile the test fails more surely
                holder.execute("ROLLBACK")
            waiting.join(30)
            other.communicate("end\n")
        finally:
            other.kill()
    assert found == [0]


def is_taken(turnstile: Path) -> bool:
    with open(turnstile, "ab") if turnstile.exists() else nullcontext() as file:
        if file is None:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


FORKED = """
import os, sys, time
from shared import sqlite
with sqlite._Turnstile(sys.argv[1] + ".turn").held(time.monotonic() + 60):
    child = os.fork()
    if child == 0:
        sys.stdin.read()
        os._exit(0)
print("done", flush=True)
os.waitpid(child, 0)
"""


def test_a_child_that_was_forked_at_the_turnstile_keeps_nobody_from_writing(engine: Engine) -> None:
    """The protected application may fork at any time, and its child shares every open file."""
    command = [sys.executable, "-c", FORKED, str(engine.url.database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "done\n"
        add_one(engine)
        other.communicate()
    assert total(engine) == 1


FORKED_LATER = """
import os, sys, time
from sqlalchemy.exc import OperationalError
from shared import sqlite
turnstile = sqlite._Turnstile(sys.argv[1] + ".turn")
with turnstile.held(time.monotonic() + 60):
    pass
(told, tell), (ended, end) = os.pipe(), os.pipe()
if os.fork() == 0:
    os.close(end)
    with turnstile.held(time.monotonic() + 60):
        os.write(tell, b"held")
        os.read(ended, 1)
    os._exit(0)
os.read(told, 4)
try:
    with turnstile.held(time.monotonic()):
        print("both hold it", flush=True)
except OperationalError:
    print("one holds it", flush=True)
os.close(end)
os.wait()
"""


def test_a_child_that_was_forked_later_does_not_share_the_turn_of_its_parent(engine: Engine) -> None:
    command = [sys.executable, "-c", FORKED_LATER, str(engine.url.database)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    assert done.stdout == "one holds it\n"


def test_a_turnstile_that_was_deleted_is_made_again(engine: Engine) -> None:
    turnstile = Path(f"{engine.url.database}.turn")
    add_one(engine)
    turnstile.unlink()
    with engine.execution_options(write=True).begin():
        assert turnstile.exists()
    with sqlite._Turnstile(str(turnstile)).held(time.monotonic()):
        assert is_taken(turnstile)


def test_the_turnstile_stays_open_until_the_engine_is_disposed_of(engine: Engine) -> None:
    for _ in range(3):
        add_one(engine)
        assert files_open(engine) == [f"{engine.url.database}.turn"]
    engine.dispose()
    assert files_open(engine) == []


def files_open(engine: Engine) -> list[str]:
    """Return the turnstile of *engine* for each time that this process has it open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(link))
    return [path for path in found if path == f"{engine.url.database}.turn"]
