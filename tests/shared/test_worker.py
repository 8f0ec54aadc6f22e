"""Our worker over raw sockets: what it waits for and how long, with limits of seconds that are short enough to see."""

import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from gunicorn.config import Config

from lab.pair import program_environment
from lab.ports import free_port
from lab.programs import ROOT, RunningProgram, private_environment
from shared.client_socket import ClientSocket
from shared.connections import Connection
from shared.plain_answers import PlainAnswers
from shared.threads import Threads
from shared.worker import MOST_ACCEPTED, Worker
from tests.support.slow_clients import crowd
from tests.support.small_server import LARGE
from tests.support.small_server import own as own_application

START_SECONDS, SECONDS = 30, 20
IDLE = 2
LIMITS = ["GRACE_SECONDS=1", f"IDLE_SECONDS={IDLE}", "HEAD_SECONDS=2", "SPARE=3"]
UPLOAD = 100_000  # more than is collected before a thread is given


@contextmanager
def server(application: str, threads: int, *limits: str) -> Iterator[int]:
    """Run a small server; yield its port when it accepts."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.small_server", str(port), application, str(threads), *limits]
    process = subprocess.Popen(
        command, cwd=ROOT, env=private_environment({}), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not accepts(port):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(SECONDS)


def accepts(port: int) -> bool:
    """Say whether something listens."""
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def protected() -> Iterator[int]:
    """A server of an application that sets no least rate, with one thread."""
    with server("protected", 1, *LIMITS) as port:
        yield port


@pytest.fixture(scope="module")
def own() -> Iterator[int]:
    """A server for our own URLs, with one thread."""
    with server("own", 1, *LIMITS) as port:
        yield port


def client(port: int, text: str, receive_buffer: int = 0) -> socket.socket:
    """Connect, and send *text* with its line ends as HTTP has them."""
    caller = socket.socket()
    if receive_buffer:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    caller.settimeout(SECONDS)
    caller.connect(("127.0.0.1", port))
    caller.sendall(text.replace("\n", "\r\n").encode())
    return caller


def all_of(caller: socket.socket) -> bytes:
    """Return what comes until the server closes."""
    got = b""
    try:
        while piece := caller.recv(1 << 20):
            got += piece
    except ConnectionResetError:
        pass
    caller.close()
    return got


def upload(port: int, more: str = "") -> socket.socket:
    return client(port, f"POST /upload HTTP/1.1\nHost: h\nConnection: close\n{more}Content-Length: {UPLOAD}\n\n")


def test_an_upload_to_the_application_may_be_slow_as_long_as_it_moves(protected: int) -> None:
    caller = upload(protected)
    for _piece in range(4):
        time.sleep(IDLE / 2)  # below the least rate in all, which the next test shows
        caller.sendall(bytes(UPLOAD // 4))
    assert all_of(caller).endswith(str(UPLOAD).encode())


def test_an_upload_to_our_own_addresses_has_a_least_rate(own: int) -> None:
    caller, began = upload(own), time.monotonic()
    try:
        while time.monotonic() - began < SECONDS:
            caller.sendall(b"1")
            time.sleep(0.1)
    except OSError:
        pass  # given up
    assert time.monotonic() - began < 10
    assert str(UPLOAD).encode() not in all_of(caller)


@pytest.mark.parametrize("framing", ["", "Expect: 100-continue\n"])
def test_an_upload_that_stands_still_is_given_up(protected: int, framing: str) -> None:
    caller, began = upload(protected, framing), time.monotonic()
    assert str(UPLOAD).encode() not in all_of(caller)
    assert IDLE / 2 < time.monotonic() - began < 5 * IDLE


@pytest.mark.parametrize("path", ["/file", "/pieces"])
def test_an_answer_that_is_read_slowly_arrives_whole_and_does_not_delay_others(protected: int, path: str) -> None:
    slow = client(protected, f"GET {path} HTTP/1.1\nHost: h\nConnection: close\n\n", receive_buffer=65_536)
    got = slow.recv(1)
    time.sleep(IDLE / 2)
    assert httpx.get(f"http://127.0.0.1:{protected}/", trust_env=False, timeout=SECONDS).text == "0"  # the one thread
    got += all_of(slow)
    assert got.count(b"x") == LARGE


@pytest.mark.parametrize("path", ["/file", "/pieces"])
def test_a_client_that_does_not_read_is_given_up(protected: int, path: str) -> None:
    deaf = client(protected, f"GET {path} HTTP/1.1\nHost: h\nConnection: close\n\n", receive_buffer=4096)
    time.sleep(3 * IDLE)
    assert all_of(deaf).count(b"x") < LARGE


def test_with_more_slow_clients_than_spare_threads_the_longest_is_given_up(protected: int) -> None:
    """One thread and three spare ones: seven stalled uploads leave one for another request."""
    callers = [upload(protected) for _number in range(7)]
    began = time.monotonic()
    assert httpx.get(f"http://127.0.0.1:{protected}/", trust_env=False, timeout=SECONDS).text == "0"
    assert time.monotonic() - began < IDLE
    for caller in callers:
        all_of(caller)


def test_more_connections_than_a_worker_may_have_leave_room_for_others() -> None:
    with server("own", 1, "CONNECTIONS=20") as port:
        callers = [client(port, text) for text in ("", "GET / HTTP/1.1\nHost: h\n\n", "GET / HTTP/1.1\nHo") * 20]
        for _number in range(3):
            assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=3).text == "0"
        for caller in callers:
            caller.close()


def test_requests_that_come_at_once_are_answered_in_turn(own: int) -> None:
    small = "POST / HTTP/1.1\nHost: h\nContent-Length: 5\n\nhello"
    caller = client(own, small + small + small.replace("Host: h", "Host: h\nConnection: close"))
    assert all_of(caller).count(b"\r\n\r\n5") == 3


def test_half_a_request_behind_a_whole_one_holds_no_thread(own: int) -> None:
    caller = client(own, "GET / HTTP/1.1\nHost: h\n\nGET / HTTP/1.1\nHo")
    assert httpx.get(f"http://127.0.0.1:{own}/", trust_env=False, timeout=SECONDS).text == "0"
    answers = all_of(caller)
    assert answers.count(b"HTTP/1.1 200") == 1
    assert answers.count(b"HTTP/1.1 408") == 1


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("GET / HTTP/1.1\nHost: h\nX: " + "x" * 70_000, b"431"),
        ("GET /" + "x" * 70_000, b"414"),
        ("POST / HTTP/1.1\nHost: h\nContent-Length: 5\nTransfer-Encoding: chunked\n\n", b"400"),
        ("POST / HTTP/1.1\nHost: h\nContent-Length: 5\nContent-Length: 6\n\n", b"400"),
        ("POST / HTTP/1.1\nHost: h\nContent-Length: +5\n\n", b"400"),
        ("POST / HTTP/1.1\nHost: h\nContent-Length : 5\n\n", b"400"),
        ("\n\nGET / HTTP/1.1\nHost: h\n\n", b"400"),
    ],
)
def test_attack_what_cannot_become_a_request_is_refused_at_once(own: int, text: str, status: bytes) -> None:
    began = time.monotonic()
    assert all_of(client(own, text)).split()[1] == status
    assert time.monotonic() - began < 1.5


def test_attack_a_bare_line_feed_is_refused_and_not_waited_for(own: int) -> None:
    caller = client(own, "")
    caller.sendall(b"GET / HTTP/1.1\nHost: h\n")
    assert all_of(caller).split()[1] == b"400"


def test_attack_a_body_that_is_counted_in_two_ways_hides_no_second_request(own: int) -> None:
    hidden = "GET /hidden HTTP/1.1\nHost: h\n\n"
    for framing in ("Content-Length: 5\nTransfer-Encoding: chunked", "Content-Length: 5\nContent-Length: 0"):
        answers = all_of(client(own, f"POST / HTTP/1.1\nHost: h\n{framing}\n\n0\n\n{hidden}"))
        assert answers.count(b"HTTP/1.1") == 1, answers


def test_no_more_requests_are_at_work_than_there_are_threads() -> None:
    with server("counting", 3) as port, ThreadPoolExecutor(12) as at_once:
        url = f"http://127.0.0.1:{port}/"
        asked = [at_once.submit(httpx.get, url, trust_env=False, timeout=SECONDS) for _number in range(12)]
        assert max(int(answer.result().text) for answer in asked) == 3


@pytest.mark.parametrize(("script", "prefix"), [("run_sp.py", "SP"), ("run_idp.py", "IDP")])
def test_a_program_listens_on_a_socket_file_for_its_owner_and_group(tmp_path: Path, script: str, prefix: str) -> None:
    place = tmp_path / "s"
    env = program_environment(prefix, tmp_path, "http://localhost", "")
    running = RunningProgram(script, free_port(), tmp_path, env, ["--unix", str(place), "--threads", "2"])
    running.start(wait=False)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not place.is_socket() and time.monotonic() < deadline:
            time.sleep(0.05)
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(place)), timeout=SECONDS) as caller:
            assert caller.get("http://localhost/healthz").status_code == 200
            assert caller.get("http://localhost/readyz").status_code == 200
        assert place.stat().st_mode & 0o777 == 0o660
    finally:
        running.stop()


def test_making_room_amid_a_clean_up_does_not_end_the_worker() -> None:
    """Two requests take too long at the most connections: the polite end of one makes room at the cost of the other."""
    worker = Worker(1, os.getpid(), [], None, 30, Config(), None)
    worker.poller, pairs = selectors.DefaultSelector(), [socket.socketpair() for _number in range(2)]
    for ours, _theirs in pairs:
        sock = ClientSocket.take_over(ours, Threads(1))
        sock.setblocking(False)
        conn = Connection(worker.cfg, sock, ("127.0.0.1", 0), ("127.0.0.1", 0))
        conn.take(b"GET ")
        conn.deadline = 0
        worker._wait(conn)
    worker.nr_conns = worker.worker_connections = len(pairs)
    worker.murder_keepalived()
    assert pairs[0][1].recv(100).startswith(b"HTTP/1.1 408") or pairs[1][1].recv(100).startswith(b"HTTP/1.1 408")
    worker.murder_keepalived(force=True)
    assert worker.nr_conns == 0
    worker.poller.close()
    worker.tmp.close()
    for _ours, theirs in pairs:
        theirs.close()


@pytest.mark.parametrize(("allowed", "taken"), [(100, MOST_ACCEPTED), (4, 3)])
def test_attack_busy_connections_do_not_keep_new_ones_waiting(allowed: int, taken: int) -> None:
    """A turn of the event loop answers all busy connections. If it took only one new one, thousands would be behind.

    There is always room for one more.
    """
    worker = Worker(1, os.getpid(), [], None, 30, Config(), None)
    worker.poller, worker.tpool, worker.worker_connections = selectors.DefaultSelector(), Threads(1), allowed
    worker._plain = PlainAnswers(worker, own_application)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        clients = [socket.create_connection(listener.getsockname()) for _number in range(MOST_ACCEPTED + 1)]
        worker.accept(listener)
        assert worker.nr_conns == taken
        clients[0].setblocking(False)
        with pytest.raises(BlockingIOError):  # it has not been closed for another one
            clients[0].recv(1)
        worker.accept(listener)
        assert worker.nr_conns == min(len(clients), allowed - 1)
    worker.alive = False
    worker.murder_keepalived(force=True)
    assert worker.nr_conns == 0
    worker.poller.close()
    worker.tmp.close()
    for caller in clients:
        caller.close()


DRIPPERS, PIECES = 66, 6  # more than may keep a thread waiting


@pytest.mark.parametrize("at_once", [0, 32_000])
def test_attack_drippers_do_not_cut_off_an_upload_that_pauses(at_once: int) -> None:
    """Each byte of theirs begins a new wait, and they come again; what counts is how slow they have been in all.

    Nor does it help them to send some kilobytes first, and then to pause.
    """
    length = UPLOAD + at_once
    begin = f"POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n".encode() + bytes(at_once)
    with server("protected", 4) as port, crowd(port, [begin] * DRIPPERS, b"1"):
        caller = client(
            port, f"POST /upload HTTP/1.1\nHost: h\nConnection: close\nContent-Length: {UPLOAD * PIECES}\n\n"
        )
        for _piece in range(PIECES):
            caller.sendall(bytes(UPLOAD))
            time.sleep(1)
        answer = all_of(caller)
        assert answer.startswith(b"HTTP/1.1 200"), answer
