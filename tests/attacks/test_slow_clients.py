"""Slow clients, many at once, against the real programs: others are answered as ever, and the slow ones given up.

One limit is in milliseconds, and the machine may be busy with other tests. So it is asked of the median of several
requests, and several times over: a worker that is stopped fails each time, for seconds; a busy machine does not.
"""

import re
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from lab.pair import program_environment
from lab.ports import free_port
from lab.programs import RunningProgram
from tests.support.slow_clients import HEAD, LINGERER, crowd, dribblers, seconds_until_closed

DRIBBLING, IDLE, LINGERING = 200, 1_000, 60
HEALTH_SECONDS, ANSWER_SECONDS = 1.0, 5.0  # slow clients that stop a worker cost 2 s or more; a busy machine takes 0.6
REQUESTS, TRIES = 9, 4
PIPELINED = 40  # stylesheets, more than the buffers between the two take


@dataclass(frozen=True)
class Served:
    """A program that runs with one worker, and a page of its that everyone may see."""

    program: RunningProgram
    page: str
    form: str

    @property
    def port(self) -> int:
        return self.program.port

    def seconds(self, path: str) -> float:
        """Return how long a new client waits for *path*."""
        began = time.monotonic()
        answer = httpx.get(self.program.url + path, trust_env=False, timeout=ANSWER_SECONDS)
        assert answer.status_code in (200, 302, 303), answer
        return time.monotonic() - began

    def assert_others_are_served(self) -> None:
        """Assert that neither health nor a page is late."""
        found = []
        for _try in range(TRIES):
            found.append(statistics.median(self.seconds("/healthz") for _request in range(REQUESTS)))
            assert max(self.seconds(self.page) for _request in range(3)) < ANSWER_SECONDS
            if found[-1] < HEALTH_SECONDS:
                return
        raise AssertionError(f"/healthz took {found} seconds\n{self.program.log}")


PROGRAMS = {"run_sp.py": ("SP", "/login?no_sso", "/login"), "run_idp.py": ("IDP", "/", "/login-token/")}


@pytest.fixture(scope="module", params=PROGRAMS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder, port = tmp_path_factory.mktemp("slow"), free_port()
    prefix, page, form = PROGRAMS[request.param]
    env = program_environment(prefix, folder, f"http://127.0.0.1:{port}", "")
    with RunningProgram(request.param, port, folder, env) as program:
        yield Served(program, page, form)


@pytest.mark.parametrize("kind", ["heads", "small bodies", "large bodies", "chunks"])
def test_clients_that_dribble_do_not_delay_others(served: Served, kind: str) -> None:
    with crowd(served.port, [dribblers(served.port, served.form)[kind]] * DRIBBLING, b"1"):
        served.assert_others_are_served()


def test_clients_that_connect_and_say_nothing_do_not_delay_others(served: Served) -> None:
    with crowd(served.port, [b""] * IDLE):
        served.assert_others_are_served()


def test_clients_that_do_not_close_do_not_delay_others(served: Served) -> None:
    with crowd(served.port, [LINGERER] * LINGERING):
        served.assert_others_are_served()


def test_clients_that_never_send_the_body_of_a_refused_request_do_not_delay_others(served: Served) -> None:
    with crowd(served.port, [b"POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\n\r\n"] * LINGERING):
        served.assert_others_are_served()


def test_clients_that_do_not_read_do_not_delay_others(served: Served) -> None:
    page = httpx.get(served.program.url + served.page, trust_env=False, follow_redirects=True).text
    stylesheet = re.search(r'href="(/[^"]+bootstrap[^"]+\.css[^"]*)"', page)
    assert stylesheet
    request = f"GET {stylesheet[1]} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n\r\n".encode()
    with crowd(served.port, [request * PIPELINED] * LINGERING, receive_buffer=2048):
        served.assert_others_are_served()


def test_a_request_that_does_not_end_is_given_up_after_its_time(served: Served) -> None:
    """10 seconds for a head, also where it is the second one of a connection; a least rate for bodies."""
    second_head = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n" + HEAD
    beginnings = [b"", second_head, *dribblers(served.port, served.form).values()]
    ends = seconds_until_closed(served.port, beginnings, 45, dribble=b"1")
    assert all(8 < end < 30 for end in ends[:-2]), ends
    assert 8 < max(ends[-2:]) < 30, ends  # a thread reads these two, unless the program refuses them unread
