"""A database that hangs is a database that is down: every request is answered in time, and health checks at once."""

import http.client
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.cast import ALICE
from lab.pair import program_environment, table
from lab.ports import free_port
from lab.programs import RunningProgram, flask_command
from tests.cluster.test_idp_nodes import sign_in as sign_in_at_idp
from tests.support.cluster import Cluster, running_cluster
from tests.support.stores import PostgreSQL

pytestmark = pytest.mark.cluster

AT_ONCE = 40  # requests: more than a worker has threads
ANSWER = 5.0  # seconds, as docs/deploying.md promises
HEALTH = 0.25  # seconds
TRIES = 3  # health checks, of which the best counts: the machine may be busy
RECOVERY = 10.0  # seconds


@dataclass(frozen=True)
class Answer:
    status: int
    seconds: float
    body: str


def get(port: int, path: str, cookie: str = "", accept: str = "application/json") -> Answer:
    started = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with closing(connection):
        connection.request("GET", path, headers={"Accept": accept, "Cookie": cookie})
        answer = connection.getresponse()
        body = answer.read().decode()
    return Answer(answer.status, time.monotonic() - started, body)


def flood(ask: Callable[[], Answer], port: int) -> list[Answer]:
    """Ask AT_ONCE times at the same moment, and check the health until all are answered."""
    with ThreadPoolExecutor(AT_ONCE) as at_once:
        asked: list[Future[Answer]] = [at_once.submit(ask) for _ in range(AT_ONCE)]
        while not all(one.done() for one in asked):
            assert best_health(port) < HEALTH
        return [one.result() for one in asked]


def best_health(port: int) -> float:
    answers = [get(port, "/healthz") for _ in range(TRIES)]
    assert {answer.status for answer in answers} == {200}
    return min(answer.seconds for answer in answers)


def assert_refused_in_time(answers: list[Answer]) -> None:
    assert {answer.status for answer in answers} == {503}
    assert max(answer.seconds for answer in answers) < ANSWER


def wait_until_answered(ask: Callable[[], Answer], status: int) -> None:
    """Ask until the program has recovered. From then on every request must succeed."""
    deadline = time.monotonic() + RECOVERY
    while ask().status != status:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert {ask().status for _ in range(AT_ONCE)} == {status}


@contextmanager
def frozen(postgresql: PostgreSQL) -> Iterator[None]:
    postgresql.freeze()
    try:
        yield
    finally:
        postgresql.thaw()


def session_of(cluster: Cluster, email: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", cluster.nodes[0].port, timeout=30)
    with closing(connection):
        connection.request("GET", f"/sso/login/jwt?jwt={cluster.token(email)}", headers={"Accept": "text/html"})
        answer = connection.getresponse()
        answer.read()
    return next(c.partition(";")[0] for c in answer.headers.get_all("Set-Cookie", []) if c.startswith("sp_session="))


@pytest.fixture
def gateway(tmp_path: Path, postgresql: PostgreSQL) -> Iterator[Cluster]:
    """One worker that asks the database at every request."""
    env = {"SP_DATABASE_URL": postgresql.create_database(), "SP_SESSION_CACHE": "0"}
    with running_cluster(tmp_path, workers=1, env=env) as running:
        yield running


def test_a_hung_postgresql_costs_the_gateway_neither_answers_nor_health_and_it_recovers(
    gateway: Cluster, postgresql: PostgreSQL
) -> None:
    port, cookie = gateway.nodes[0].port, session_of(gateway, "alice@example.com")

    def ask() -> Answer:
        return get(port, "/page", cookie)

    wait_until_answered(ask, 200)
    with frozen(postgresql):
        for _ in range(2):
            assert_refused_in_time(flood(ask, port))
        assert_refused_in_time(flood(lambda: get(port, f"/sso/login/jwt?jwt={gateway.token('bob@example.com')}"), port))
        page = get(port, "/access/jwt/error?code=store_unavailable", cookie, accept="text/html")
        assert_refused_in_time([page])
        assert "cannot reach its database" in page.body
        ready = get(port, "/readyz")
        assert_refused_in_time([ready])
        assert "database: does not answer" in ready.body
    wait_until_answered(ask, 200)
    assert get(port, "/readyz").status == 200
    assert "Traceback" not in gateway.nodes[0].log


def test_a_hung_postgresql_costs_the_identity_provider_neither_answers_nor_health_and_it_recovers(
    tmp_path: Path, postgresql: PostgreSQL
) -> None:
    service = {"preset": "lychgate", "return_url": "http://127.0.0.1:9/", "keys": []}
    env = program_environment("IDP", tmp_path, "http://127.0.0.1:5001", table("services.s0", service))
    env["IDP_DATABASE_URL"] = postgresql.create_database()
    typed = f"{ALICE.password}\n"
    flask_command("idp", "users", "add", ALICE.email, "--password-stdin", env=env, folder=tmp_path, typed=typed)
    with RunningProgram("run_idp.py", free_port(), tmp_path, env) as program:
        cookie = "; ".join(f"{name}={value}" for name, value in sign_in_at_idp(program).items())

        def ask() -> Answer:
            return get(program.port, "/login-token/?service=s0", cookie)

        wait_until_answered(ask, 303)
        with frozen(postgresql):
            for _ in range(2):
                assert_refused_in_time(flood(ask, program.port))
            ready = get(program.port, "/readyz")
            assert_refused_in_time([ready])
            assert "the database cannot be reached" in ready.body
        wait_until_answered(ask, 303)
        assert get(program.port, "/readyz").status == 200
    assert "Traceback" not in program.log


def test_a_postgresql_that_was_restarted_costs_no_request(gateway: Cluster, postgresql: PostgreSQL) -> None:
    port, cookie = gateway.nodes[0].port, session_of(gateway, "alice@example.com")
    with ThreadPoolExecutor(8) as at_once:  # several connections
        assert {answer.status for answer in at_once.map(lambda _: get(port, "/page", cookie), range(40))} == {200}
    postgresql.stop()
    postgresql.start()
    assert {get(port, "/page", cookie).status for _ in range(AT_ONCE)} == {200}


def test_an_sqlite_that_another_process_has_locked_refuses_who_writes_and_serves_who_reads(tmp_path: Path) -> None:
    with running_cluster(tmp_path, workers=1, env={"SP_SESSION_CACHE": "0"}) as cluster:
        port, cookie = cluster.nodes[0].port, session_of(cluster, "alice@example.com")

        def sign_in() -> Answer:
            return get(port, f"/sso/login/jwt?jwt={cluster.token('bob@example.com')}")

        assert get(port, "/page", cookie).status == 200  # the first use of a session is written down
        other = sqlite3.connect(tmp_path / "sp.sqlite3", isolation_level=None)
        with closing(other):
            other.execute("BEGIN EXCLUSIVE")
            for _ in range(2):
                assert_refused_in_time(flood(sign_in, port))
            assert get(port, "/page", cookie).status == 200
        wait_until_answered(sign_in, 200)


@contextmanager
def silent_listener() -> Iterator[int]:
    """A port where the kernel accepts connections, and no answer ever comes."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("program", ["sp", "idp"])
@pytest.mark.parametrize("hangs", [True, False], ids=["silent", "closed"])
def test_an_unreachable_database_ends_the_start_in_two_lines_and_status_2(
    program: str, hangs: bool, tmp_path: Path
) -> None:
    name = f"{program.upper()}_DATABASE_URL"
    env = program_environment(program.upper(), tmp_path, "http://127.0.0.1:9", "")
    with silent_listener() as silent:
        port = silent if hangs else free_port()
        env[name] = f"postgresql+psycopg://lychgate:the-password@127.0.0.1:{port}/lychgate"
        command = flask_command(program, "users", "list", env=env, folder=tmp_path, check=False)
        started = RunningProgram(f"run_{program}.py", free_port(), tmp_path, env)
        started.start(wait=False)
        try:
            assert started.wait(30) == command.returncode == 2
        finally:
            started.kill()
    for lines in (command.stderr.splitlines(), started.log.splitlines()):
        assert len(lines) == 2
        assert f"{name}: the database cannot be used: " in lines[1]
        assert "the-password" not in lines[1]
