"""Answers from memory in the event loop of our worker, and stopping it, over raw sockets."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.ports import free_port
from lab.programs import ROOT, private_environment
from tests.shared.test_worker import SECONDS, START_SECONDS, accepts, all_of, client
from tests.support.small_server import LARGE, STUCK_SECONDS
from tests.support.waiting import wait_until

CLOSE = "Connection: close\n"
MANY = 3_000  # requests: their lines are more than a pipe takes, which is 64 KiB
WAITING = 20  # connections that the worker has not accepted when it is stopped


@contextmanager
def running(
    folder: Path, application: str, threads: int, *limits: str
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run a small server with its log in *folder*; yield its port and process."""
    port, log = free_port(), folder / "log"
    command = [sys.executable, "-m", "tests.support.small_server", str(port), application, str(threads), *limits]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=private_environment({}), stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not accepts(port):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        ask(port, "/own")  # the worker has loaded
        yield port, process
    finally:
        process.terminate()
        process.wait(SECONDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("at-once")


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    """A server with one thread."""
    with running(folder, "at once", 1) as (port, _process):
        yield port


def ask(port: int, path: str, more: str = "") -> bytes:
    return all_of(client(port, f"GET {path} HTTP/1.1\nHost: h\n{CLOSE}{more}\n"))


def test_an_answer_at_once_needs_no_thread(port: int) -> None:
    stuck = client(port, f"GET /stuck HTTP/1.1\nHost: h\n{CLOSE}\n")
    began = time.monotonic()
    assert ask(port, "/at-once").endswith(b"\r\n\r\nMainThread")
    assert time.monotonic() - began < STUCK_SECONDS / 2
    assert all_of(stuck).endswith(b"\r\n\r\nrequest-1")


def test_what_is_not_answered_at_once_gets_a_thread(port: int) -> None:
    assert ask(port, "/else").endswith(b"request-1")
    assert ask(port, "/decided").endswith(b"decided request-1")
    twice = "X-A: 1\nX-A: 2\n"
    assert ask(port, "/at-once", twice).endswith(b"request-1")  # gunicorn's parser reads it, in a thread


def test_requests_at_once_and_others_take_turns_on_one_connection(port: int) -> None:
    caller, bodies = client(port, ""), []
    odd = "X-A: 1\r\nX-A: 2\r\n"  # for gunicorn's parser
    for path, more in [("/at-once", ""), ("/else", ""), ("/at-once", odd), ("/decided", ""), ("/at-once", "")] * 2:
        caller.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\n{more}\r\n".encode())
        bodies.append(body_of_one(caller))
    caller.close()
    assert bodies == [b"MainThread", b"request-1", b"request-1", b"decided request-1", b"MainThread"] * 2


def body_of_one(caller: socket.socket) -> bytes:
    """Read one answer."""
    got = b""
    while (found := re.search(rb"Content-Length: (\d+)\r\n(?:.+\r\n)*\r\n", got)) is None:
        got += caller.recv(1)
    while len(got) < found.end() + int(found[1]):
        got += caller.recv(1)
    return got[found.end() :]


def test_requests_that_come_together_are_each_answered(port: int) -> None:
    paths = ["/at-once", "/at-once", "/else", "/decided", "/at-once"]
    requests = "".join(f"GET {path} HTTP/1.1\nHost: h\n\n" for path in paths)
    answers = all_of(client(port, f"{requests}GET /at-once HTTP/1.1\nHost: h\n{CLOSE}\n"))
    assert answers.count(b"HTTP/1.1 200 OK") == len(paths) + 1


def test_an_answer_at_once_that_the_client_does_not_read_waits_in_a_thread(port: int) -> None:
    slow = client(port, f"GET /large HTTP/1.1\nHost: h\n{CLOSE}\n", receive_buffer=65_536)
    got = slow.recv(1)
    assert ask(port, "/at-once").endswith(b"MainThread")
    assert ask(port, "/else").split(b"\r\n\r\n")[1].startswith(b"request-")  # the slow client has a spare thread
    assert (got + all_of(slow)).count(b"x") == LARGE // 8


def test_attack_an_answer_at_once_sends_no_header_with_a_line_break(port: int) -> None:
    answer = ask(port, "/split")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"Set-Cookie" not in answer


def test_an_error_in_an_answer_at_once_does_not_end_the_worker(port: int, folder: Path) -> None:
    assert ask(port, "/broken").startswith(b"HTTP/1.1 500 ")
    assert ask(port, "/at-once").endswith(b"MainThread")
    assert "it is broken" in (folder / "log").read_text()


def test_lines_of_the_access_log_are_alike(port: int, folder: Path) -> None:
    for path in ("/at-once", "/else"):
        ask(port, f"{path}?token=eyJhbGciOiJIUzI1NiJ9.e30.c2ln")
    here, there = (last_line(folder, path) for path in ("/at-once", "/else"))
    assert here == '[-] gunicorn.access: 127.0.0.1 "GET /at-once" 200 10 bytes 0 ms'
    assert there == '[-] gunicorn.access: 127.0.0.1 "GET /else" 200 9 bytes 0 ms'
    assert "eyJ" not in (folder / "log").read_text()


def test_what_a_thread_finishes_keeps_the_id_that_the_event_loop_gave(port: int, folder: Path) -> None:
    ask(port, "/decided")
    assert re.match(r"\[[0-9a-f]{16}\] ", last_line(folder, "/decided"))
    assert last_line(folder, "/else").startswith("[-] ")


def last_line(folder: Path, path: str) -> str:
    """Wait for a line about *path*, and return it without its time."""
    wait_until(lambda: f'"GET {path}"' in (folder / "log").read_text())
    lines = [line for line in (folder / "log").read_text().splitlines() if f'"GET {path}"' in line]
    return re.sub(r"[0-9]+ ms", "0 ms", lines[-1].partition("INFO ")[2])


def test_while_the_reader_of_the_log_stands_still_nothing_is_lost(tmp_path: Path) -> None:
    port, lines = free_port(), list[bytes]()
    command = [sys.executable, "-m", "tests.support.small_server", str(port), "at once", "1"]
    with subprocess.Popen(command, cwd=ROOT, env=private_environment({}), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        reader = threading.Thread(target=lines.extend, args=[process.stderr])
        wait_until(lambda: accepts(port))
        caller, answered = client(port, ""), 0
        caller.settimeout(STUCK_SECONDS)
        try:
            with contextlib.suppress(TimeoutError):  # the log is full, and the one thread waits for its reader
                while answered < MANY:
                    caller.sendall(b"GET /at-once HTTP/1.1\r\nHost: h\r\n\r\n")
                    assert body_of_one(caller) in (b"MainThread", b"request-1")
                    answered += 1
            assert 0 < answered < MANY
            reader.start()
            assert body_of_one(caller) in (b"MainThread", b"request-1")  # the connection may wait with its thread
            caller.sendall(b"GET /at-once HTTP/1.1\r\nHost: h\r\n\r\n")
            body_of_one(caller)
            wait_until(lambda: sum(b'"GET /at-once"' in line for line in lines) == answered + 2)
        finally:
            caller.close()
            process.terminate()
        reader.join(SECONDS)


@pytest.mark.parametrize("application", ["own", "at once"])
def test_a_stop_answers_also_those_that_the_worker_has_not_accepted_yet(tmp_path: Path, application: str) -> None:
    with running(tmp_path, application, 2) as (port, process):
        worker = stopped_worker(process)
        callers = [client(port, f"GET /at-once HTTP/1.1\nHost: h\n{CLOSE}\n") for _number in range(WAITING)]
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: f"ShdPnd:\t{0:016x}" not in status_of(worker))
        os.kill(worker, signal.SIGCONT)
        answers = [all_of(caller) for caller in callers]
        assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK"] * WAITING
        assert process.wait(SECONDS) == 0


def test_a_killed_worker_leaves_those_that_it_has_not_accepted_to_the_next(tmp_path: Path) -> None:
    with running(tmp_path, "at once", 2) as (port, process):
        worker = stopped_worker(process)
        callers = [client(port, f"GET /at-once HTTP/1.1\nHost: h\n{CLOSE}\n") for _number in range(WAITING)]
        os.kill(worker, signal.SIGKILL)
        answers = [all_of(caller) for caller in callers]
        assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK"] * WAITING


def test_a_stop_answers_what_is_under_way(tmp_path: Path) -> None:
    with running(tmp_path, "at once", 2) as (port, process):
        caller = client(port, "GET /stuck HTTP/1.1\nHost: h\n\n")
        kept = client(port, "GET /at-once HTTP/1.1\nHost: h\n\n")
        assert kept.recv(1000).startswith(b"HTTP/1.1 200 OK")  # so the loop has seen the first one too
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(OSError):
            while True:  # until no more are accepted
                socket.create_connection(("127.0.0.1", port), timeout=SECONDS).close()
                time.sleep(0.02)
        kept.sendall(b"GET /at-once HTTP/1.1\r\nHost: h\r\n\r\n")  # a client that had not heard of the stop
        assert b"\r\nConnection: close\r\n" in all_of(kept)
        assert all_of(caller).startswith(b"HTTP/1.1 200 OK")


def stopped_worker(process: subprocess.Popen[bytes]) -> int:
    """Let the only worker stand still, and return its process ID."""
    (worker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(worker), signal.SIGSTOP)
    wait_until(lambda: "State:\tT" in status_of(int(worker)))
    return int(worker)


def status_of(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()
