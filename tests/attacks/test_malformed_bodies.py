"""Chunked bodies that no parser can read: rejected as a client error at every URL of ours, and not logged."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lab.pair import program_environment
from lab.ports import free_port
from lab.programs import RunningProgram

SECONDS = 30
PROGRAMS = {"run_sp.py": ("SP", ["/login", "/sso/login/jwt", "/sso/logout/backchannel", "/sso/token", "/sso/nowhere"])}
PROGRAMS |= {"run_idp.py": ("IDP", ["/login-token/", "/logout", "/nowhere"])}
FORM = "Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
BODIES = {
    "a size that is no number": b"ZZ\r\nabc\r\n0\r\n\r\n",
    "a chunk that is longer than its size": b"3\r\nabcdef\r\n0\r\n\r\n",
    "an extension that is none": b"3;=\r\nabc\r\n0\r\n\r\n",
    "a trailer that is no header": b"3\r\nabc\r\n0\r\nno header\r\n\r\n",
    "a chunk that is cut off": b"5\r\nabc",
    "an end that is cut off": b"3\r\nabc\r\n",
}
BEHIND = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize("script", PROGRAMS)
def test_attack_a_malformed_chunked_body_is_the_clients_mistake_and_fills_no_log(script: str, tmp_path: Path) -> None:
    prefix, paths = PROGRAMS[script]
    port = free_port()
    env = program_environment(prefix, tmp_path, f"http://127.0.0.1:{port}", "")
    with RunningProgram(script, port, tmp_path, env) as program:
        for path in paths:
            for kind, body in BODIES.items():
                answers = talk(program.url, path, body)
                assert answers.startswith(b"HTTP/1.1 400 "), (path, kind, answers)
                assert answers.count(b"HTTP/1.1 ") == 1, (path, kind, answers)  # the connection was closed
        assert "Traceback" not in program.log
        assert "ERROR" not in program.log


def talk(url: str, path: str, body: bytes) -> bytes:
    """Send *body* and, where it ends, another request behind it; return all that is answered."""
    place = urlsplit(url)
    head = f"POST {path} HTTP/1.1\r\nHost: {place.netloc}\r\n{FORM}".encode()
    behind = BEHIND if body.endswith(b"\r\n\r\n") else b""
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=SECONDS) as connection:
        connection.sendall(head + body + behind)
        connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb").read()


def test_attack_a_chunked_body_that_does_not_come_is_answered_408(tmp_path: Path) -> None:
    port = free_port()
    env = program_environment("IDP", tmp_path, f"http://127.0.0.1:{port}", "")
    with RunningProgram("run_idp.py", port, tmp_path, env) as program:
        head = f"POST /logout HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{FORM}".encode()
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
            connection.sendall(head + b"5\r\na")
            assert connection.makefile("rb").read().startswith(b"HTTP/1.1 408 ")
        assert "Traceback" not in program.log


def test_attack_a_malformed_body_that_nothing_reads_causes_no_second_answer(tmp_path: Path) -> None:
    """A proxy would take it for the answer to the next request."""
    port = free_port()
    env = program_environment("SP", tmp_path, f"http://127.0.0.1:{port}", "")
    with RunningProgram("run_sp.py", port, tmp_path, env) as program:
        for kind, body in BODIES.items():
            answers = talk(program.url, "/protected", body)
            assert answers.startswith(b"HTTP/1.1 303 "), (kind, answers)
            assert answers.count(b"HTTP/1.1 ") == 1, (kind, answers)
