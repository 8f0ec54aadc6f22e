"""Large and unusual bodies through our server: streamed in little memory, and read as HTTP defines them."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shared.test_worker import all_of, client
from tests.shared.test_worker_at_once import running
from tests.support.small_server import STREAMED

MEMORY = 24 * 1024 * 1024  # bytes that a worker may grow by while it passes on STREAMED
PIECE = bytes(1 << 20)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """A server of an application that streams; its port, and the process ID of its worker."""
    with running(tmp_path_factory.mktemp("streams"), "streaming", 2) as (port, process):
        (worker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield port, int(worker)


def most_memory(worker: int) -> int:
    """Return the most bytes of memory that the process has had so far."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{worker}/status").read_text())
    assert found
    return int(found[1]) * 1024


def test_a_large_upload_streams_in_little_memory(server: tuple[int, int]) -> None:
    port, worker = server
    before = most_memory(worker)
    caller = client(port, f"POST /count HTTP/1.1\nHost: h\nConnection: close\nContent-Length: {STREAMED}\n\n")
    for _piece in range(STREAMED // len(PIECE)):
        caller.sendall(PIECE)
    assert all_of(caller).endswith(b"\r\n\r\n%d" % STREAMED)
    assert most_memory(worker) - before < MEMORY


def test_a_large_upload_in_chunks_streams_in_little_memory(server: tuple[int, int]) -> None:
    port, worker = server
    before = most_memory(worker)
    caller = client(port, "POST /count HTTP/1.1\nHost: h\nConnection: close\nTransfer-Encoding: chunked\n\n")
    chunk = b"%X\r\n%b\r\n" % (len(PIECE), PIECE)
    for _piece in range(STREAMED // len(PIECE)):
        caller.sendall(chunk)
    caller.sendall(b"0\r\nX-Checksum: 1\r\n\r\n")
    assert all_of(caller).endswith(b"\r\n\r\n%d" % STREAMED)
    assert most_memory(worker) - before < MEMORY


@pytest.mark.parametrize("path", ["/pieces", "/file"])
def test_a_large_download_streams_in_little_memory(server: tuple[int, int], path: str) -> None:
    port, worker = server
    before = most_memory(worker)
    caller = client(port, f"GET {path} HTTP/1.1\nHost: h\nConnection: close\n\n")
    got = caller.recv(4096).partition(b"\r\n\r\n")[2]
    length = len(got)
    while piece := caller.recv(1 << 20):
        length += len(piece)
    caller.close()
    assert length == STREAMED
    assert most_memory(worker) - before < MEMORY


def test_pieces_without_a_length_are_chunks(server: tuple[int, int]) -> None:
    answer = all_of(client(server[0], "GET /chunks HTTP/1.1\nHost: h\nConnection: close\n\n"))
    assert b"\r\nTransfer-Encoding: chunked\r\n" in answer
    assert answer.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


def test_to_an_old_client_they_end_with_the_connection(server: tuple[int, int]) -> None:
    answer = all_of(client(server[0], "GET /chunks HTTP/1.0\nHost: h\nConnection: keep-alive\n\n"))
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\nonetwo")


@pytest.mark.parametrize("path", ["/chunks", "/file", "/count", "/nothing"])
def test_an_answer_to_head_has_no_body(server: tuple[int, int], path: str) -> None:
    answer = all_of(client(server[0], f"HEAD {path} HTTP/1.1\nHost: h\nConnection: close\n\n"))
    assert answer.startswith(b"HTTP/1.1 20")
    assert answer.endswith(b"\r\n\r\n")


def test_no_content_has_neither_body_nor_length(server: tuple[int, int]) -> None:
    answer = all_of(client(server[0], "GET /nothing HTTP/1.1\nHost: h\nConnection: close\n\n"))
    assert answer.startswith(b"HTTP/1.1 204")
    assert b"content-length" not in answer.lower()
    assert b"chunked" not in answer.lower()
    assert answer.endswith(b"\r\n\r\n")


def test_a_client_that_expects_to_be_told_to_continue_is_told(server: tuple[int, int]) -> None:
    caller = client(
        server[0], "POST /count HTTP/1.1\nHost: h\nConnection: close\nExpect: 100-continue\nContent-Length: 5\n\n"
    )
    assert caller.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    caller.sendall(b"hello")
    assert all_of(caller).endswith(b"\r\n\r\n5")


def test_an_expectation_of_something_else_is_refused(server: tuple[int, int]) -> None:
    answer = all_of(client(server[0], "POST /count HTTP/1.1\nHost: h\nExpect: a-miracle\nContent-Length: 5\n\n"))
    assert answer.startswith(b"HTTP/1.1 417 ")


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_attack_a_body_that_is_cut_off_is_not_taken_for_a_whole_one(server: tuple[int, int], framing: str) -> None:
    caller = client(server[0], f"POST /count HTTP/1.1\nHost: h\nConnection: close\n{framing}\n\n5\nhello\n")
    caller.shutdown(socket.SHUT_WR)
    assert b"HTTP/1.1 200" not in all_of(caller)


@pytest.mark.parametrize("path", ["/broken", "/file-is-gone"])
def test_an_application_that_fails_after_it_has_begun_is_cut_off(server: tuple[int, int], path: str) -> None:
    answer = all_of(client(server[0], f"GET {path} HTTP/1.1\nHost: h\n\n"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n3\r\none\r\n")


def test_an_application_that_fails_before_is_answered_for(server: tuple[int, int]) -> None:
    answer = all_of(client(server[0], "GET /broken-before HTTP/1.1\nHost: h\n\n"))
    assert answer.startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize("path", ["/lost-file", "/broken-after-writing", "/broken-at-the-end"])
def test_attack_a_failure_after_the_beginning_sends_no_second_answer(server: tuple[int, int], path: str) -> None:
    """A client would read it as the rest of the body, or as the answer to the next request of somebody else."""
    answer = all_of(client(server[0], f"GET {path} HTTP/1.1\nHost: h\n\n"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.endswith((b"\r\n\r\none", b"\r\n\r\nok"))


@pytest.mark.parametrize("more", ["", "X-A: 1\nX-A: 2\n"])  # plain, and for gunicorn's parser
def test_an_answer_that_never_begins_is_closed_and_the_log_says_why(tmp_path: Path, more: str) -> None:
    with running(tmp_path, "streaming", 2) as (port, _process):
        answer = all_of(client(port, f"GET /never-begins HTTP/1.1\nHost: h\n{more}\n"))
        assert answer.startswith(b"HTTP/1.1 500 ")
        log = (tmp_path / "log").read_text()
        assert "RuntimeError: it is broken" in log
        assert "AttributeError" not in log
        assert "it is closed" in log


@pytest.mark.parametrize("path", ["/short", "/short-file"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_attack_after_an_answer_that_is_too_short_comes_no_other_one(
    server: tuple[int, int], path: str, method: str
) -> None:
    """A client would take the next answer for the rest of this one. The answer to HEAD has no body anyway."""
    request = f"{method} {path} HTTP/1.1\nHost: h\n"
    answer = all_of(client(server[0], f"{request}\n{request}Connection: close\n\n"))
    assert answer.count(b"HTTP/1.1 200 ") == (1 if method == "GET" else 2)
    assert answer.endswith(b"\r\n\r\none" if method == "GET" else b"\r\n\r\n")


@pytest.mark.parametrize("name", ["Connection", "Transfer-Encoding", "Keep-Alive", "Server", "Date", "X-Ordinary"])
def test_attack_an_application_cannot_set_what_frames_the_answer(server: tuple[int, int], name: str) -> None:
    head = all_of(client(server[0], f"GET /set?{name} HTTP/1.1\nHost: h\nConnection: close\n\n"))
    assert (b": mine" in head) == (name == "X-Ordinary")


@pytest.mark.parametrize("path", ["/split", "/split-name", "/status"])
def test_attack_an_application_cannot_send_a_line_break(server: tuple[int, int], path: str) -> None:
    answer = all_of(client(server[0], f"GET {path} HTTP/1.1\nHost: h\nConnection: close\n\n"))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"X-Injected" not in answer


def test_chunks_for_our_own_pages_get_a_thread_when_they_are_complete(tmp_path: Path) -> None:
    """An application that says that its bodies are small: eight clients that begin one do not take its one thread."""
    with running(tmp_path, "collecting", 1, "GRACE_SECONDS=2") as (port, _process):
        begin = "POST / HTTP/1.1\nHost: h\nConnection: close\nTransfer-Encoding: chunked\n\n"
        slow = [client(port, begin + "5\nhe") for _number in range(8)]
        names = [
            all_of(client(port, begin + f"5\nhello\n{end}")) for end in ("0\n\n", "0\nX-Trailer: 1\n\n", "000\n\n")
        ]
        names.append(all_of(client(port, begin + "10000\n" + "x" * 40_000)))  # longer than one of ours may be
        assert [name[9:12] + name.rpartition(b"\r\n")[2] for name in names[:3]] == [b"200request-1 5"] * 3
        assert names[3][9:12] in (b"400", b"408", b"")
        for caller in slow:
            assert all_of(caller).startswith(b"HTTP/1.1 408 ")
