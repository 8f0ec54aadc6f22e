"""The server that the lab's programs run on."""

import socket
import time
import urllib.request
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

from lab.server import ServerThread

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def hello(_environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def test_it_answers_from_start_to_stop(capfd: pytest.CaptureFixture[str]) -> None:
    with ServerThread(hello) as server, urllib.request.urlopen(f"{server.url}/?jwt=secret", timeout=10) as answer:
        assert answer.read() == b"hello"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0
    printed = capfd.readouterr()
    assert "secret" not in printed.out + printed.err


def test_it_can_be_stopped_without_having_started() -> None:
    ServerThread(hello).stop()


def test_it_starts_within_fifty_milliseconds() -> None:
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        with ServerThread(hello) as server, urllib.request.urlopen(server.url, timeout=10):
            took.append(time.perf_counter() - begun)
    assert min(took) < 0.05
