"""Gateways without an identity provider, as many nodes and workers as a test wants, on stores that they share.

Tokens come from the test itself, which has the provider's key; the provider accepts unsolicited tokens,
so that one request is one sign-in.
"""

import http.client
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from sqlalchemy import create_engine, text

from lab.leaks import assert_no_secret_in
from lab.minting import ispring_token
from lab.pair import PROVIDER, Settings, program_environment, table
from lab.ports import free_port
from lab.programs import RunningProgram
from tests.support.waiting import wait_until

REQUEST_SECONDS = 30
OPENED, REPLAYED, FAILED = "opened", "replayed", "failed"


@dataclass(frozen=True)
class Cluster:
    """Running nodes, the provider's key and the database that the nodes share."""

    nodes: Sequence[RunningProgram]
    key: str
    database_url: str

    def token(self, email: str) -> str:
        """Return a new token for *email*."""
        return ispring_token(self.key, email)

    def count(self, table_name: str, condition: str = "1 = 1") -> int:
        """Return how many rows of a table fit the SQL *condition*."""
        engine = create_engine(self.database_url)
        try:
            with engine.connect() as connection:
                found = connection.execute(text(f"SELECT count(*) FROM {table_name} WHERE {condition}"))  # noqa: S608
                return int(found.scalar_one())
        finally:
            engine.dispose()


@contextmanager
def running_cluster(
    folder: Path,
    *,
    nodes: int = 1,
    workers: int = 2,
    env: Mapping[str, str] | None = None,
    rules: Sequence[Settings] = (),
) -> Iterator[Cluster]:
    """Run *nodes* gateways with *workers* each. Without SP_DATABASE_URL in *env* they share an SQLite file."""
    key = secrets.token_urlsafe(48)
    ports = [free_port() for _ in range(nodes)]
    provider = {
        "preset": "ispring",
        "default": True,
        "keys": [key],
        "login_url": "http://127.0.0.1:9/login-token/",
        "unsolicited": "accept",
    }
    url = f"http://127.0.0.1:{ports[0]}"
    database_url = (env or {}).get("SP_DATABASE_URL") or f"sqlite:///{folder / 'sp.sqlite3'}"
    toml = "".join(table("[rules]", rule) for rule in rules) + table(f"providers.{PROVIDER}", provider)
    settings = program_environment("SP", folder, url, toml)
    settings |= {"SP_DATABASE_URL": database_url, **(env or {})}
    programs = [
        RunningProgram("run_sp.py", port, folder / f"node-{port}", settings, ["--workers", str(workers)])
        for port in ports
    ]
    try:
        for program in programs:
            program.start(wait=False)
        for program in programs:
            program.wait_until_healthy()
            wait_until(lambda node=program: len(node.worker_pids) == workers)  # type: ignore[misc]
        yield Cluster(programs, key, database_url)
        for program in programs:
            program.stop()
            assert_no_secret_in(program.log, [key])
    finally:
        for program in programs:
            program.kill()


def send_at_once(
    cluster: Cluster, tokens: Sequence[str], copies: int, disturb: Callable[[int], None] | None = None
) -> list[list[str]]:
    """Send each token *copies* times at the same moment, to all nodes in turn; return the outcomes of each token.

    *disturb* is called with the token's number while its copies are under way.
    """
    outcomes: list[list[str]] = [[FAILED] * copies for _ in tokens]
    ready = threading.Barrier(copies)
    ports = [node.port for node in cluster.nodes]

    def send_copy(copy: int) -> None:
        for number, token in enumerate(tokens):
            ready.wait()
            if copy == 0 and disturb is not None:
                disturb(number)
                continue  # this copy was spent on the disturbance
            outcomes[number][copy] = send(ports[copy % len(ports)], token)

    threads = [threading.Thread(target=send_copy, args=(copy,)) for copy in range(copies)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def send(port: int, token: str) -> str:
    """Deliver *token* as a browser does, and tell what came of it; FAILED if no answer came."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_SECONDS)
    try:
        connection.request("GET", f"/sso/login/jwt?{urlencode({'jwt': token})}", headers={"Accept": "text/html"})
        with connection.getresponse() as answer:
            answer.read()
    except (OSError, http.client.HTTPException):
        return FAILED
    finally:
        connection.close()
    if any(cookie.startswith("sp_session=") for cookie in answer.headers.get_all("Set-Cookie", [])):
        return OPENED
    location = urlsplit(answer.headers.get("Location", ""))
    return REPLAYED if "code=token_replayed" in location.query else f"{answer.status} {location.geturl()}"
