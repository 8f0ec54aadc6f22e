"""The load of the benchmarks: waits count from when a request was due, and the processor time is the server's."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.arrivals import arriving, at_once, percentile, waits
from bench.programs import processes, processor_seconds
from bench.wire import Answer, Connection, get, post

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STOP = 0.3  # seconds for which a server answers nothing


def is_ok(answer: Answer) -> bool:
    return answer.status == 200


@contextmanager
def server(*answers: bytes, stops_at: int = -1) -> Iterator[int]:
    """Answer requests without a body, one connection in one thread, with *answers* in turn; yield the port."""
    count = 0
    lock = threading.Lock()

    def serve(connection: socket.socket) -> None:
        nonlocal count
        received = b""
        with connection:
            while octets := connection.recv(65_536):
                received += octets
                while b"\r\n\r\n" in received:
                    received = received.partition(b"\r\n\r\n")[2]
                    with lock:  # all wait while one request is held up
                        if count == stops_at:
                            time.sleep(STOP)
                        connection.sendall(answers[count % len(answers)])
                        count += 1

    def accept() -> None:
        while True:
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_a_stop_of_the_server_counts_for_every_request_that_was_due_meanwhile() -> None:
    with server(OK, stops_at=20) as port:
        found = arriving(port, [get("/", port, {})] * 200, is_ok, rate=400, clients=4)
    late = [wait for wait in found.waits if wait > STOP / 3]
    assert len(found.waits) == 200
    assert len(late) >= 400 * STOP / 2  # with four clients, only four of them were under way
    assert percentile(found.waits, 99) > STOP * 0.8


def test_requests_are_sent_when_they_are_due() -> None:
    with server(OK) as port:
        began = time.perf_counter()
        found = arriving(port, [get("/", port, {})] * 50, is_ok, rate=200)
    assert time.perf_counter() - began >= 49 / 200
    assert found.late
    assert min(found.late) >= 0


def test_clients_that_wait_send_every_request_once() -> None:
    with server(OK) as port:
        requests = [get(f"/{number}", port, {}) for number in range(50)]
        assert len(waits(port, requests, is_ok, clients=4)) == 50
        assert at_once(port, requests, is_ok, clients=4) > 0


def test_an_answer_that_is_not_accepted_ends_the_measurement() -> None:
    refused = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    with server(OK, OK, refused) as port:
        with pytest.raises(AssertionError, match="403 Forbidden"):
            waits(port, [get("/", port, {})] * 5, is_ok, clients=1)
        with pytest.raises(AssertionError, match="403 Forbidden"):
            arriving(port, [get("/", port, {})] * 6, is_ok, rate=1000, clients=2)


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (OK, b"ok"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"2\r\nok\r\n0\r\n\r\n"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", b""),
    ],
)
def test_each_form_of_an_answer_is_read_to_its_end(raw: bytes, body: bytes) -> None:
    with server(raw) as port, Connection(port) as connection:
        for _ in range(2):
            assert connection.ask(get("/", port, {"A": "b"})).body == body


def test_a_connection_that_the_server_closes_is_an_error_and_one_that_it_announces_is_opened_again() -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    with server(closing) as port, Connection(port) as connection:
        assert [connection.ask(get("/", port, {})).status for _ in range(2)] == [200, 200]
    with socket.create_server(("127.0.0.1", 0)) as listener, Connection(listener.getsockname()[1]) as connection:
        connection.open()
        listener.accept()[0].close()
        with pytest.raises(OSError, match=r"closed the connection|reset|Broken pipe"):
            connection.ask(post("/", 80, "a=b"))


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(number) for number in range(1, 1001)]
    assert [percentile(values, percent) for percent in (50, 95, 99, 99.9)] == [500, 950, 990, 999]
    assert percentile([3.0], 99.9) == 3.0


def test_the_processor_time_includes_child_processes() -> None:
    work = "import sys; sum(range(3_000_000)); print('done', flush=True); sys.stdin.read()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}])"
    with subprocess.Popen([sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        assert len(processes(process.pid)) == 2
        all_of_them = processor_seconds(process.pid)
        alone = time.clock_gettime((~process.pid << 3) | 2)
        process.stdin.close()
    assert all_of_them > alone > 0
