"""What is taken back counts on every worker within SP_SESSION_CACHE seconds; and workers count together."""

import http.client
import re
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from lab.programs import flask_command
from tests.support.cluster import Cluster, running_cluster

CACHE = 2  # seconds
ASKED = 60  # requests, each on a new connection: both workers answer some of them

RULES = [{"path": "/staff/", "allow": {"groups": ["staff"]}}]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    env = {"SP_SESSION_CACHE": str(CACHE)}
    with running_cluster(tmp_path_factory.mktemp("revocation"), env=env, rules=RULES) as running:
        yield running


def get(cluster: Cluster, path: str, cookie: str = "") -> tuple[int, list[str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", cluster.nodes[0].port, timeout=30)
    connection.request("GET", path, headers={"Accept": "text/html" if "jwt" in path else "text/css", "Cookie": cookie})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, answer.headers.get_all("Set-Cookie", []), body


def sign_in(cluster: Cluster, email: str) -> str:
    _status, cookies, _body = get(cluster, f"/sso/login/jwt?jwt={cluster.token(email)}")
    return next(cookie.partition(";")[0] for cookie in cookies if cookie.startswith("sp_session="))


def statuses(cluster: Cluster, cookie: str) -> set[int]:
    return {get(cluster, "/page", cookie)[0] for _ in range(ASKED)}


def is_known_on_both_workers(cluster: Cluster, cookie: str) -> bool:
    """Use the session until both workers have cached it; tell whether they have."""
    for _ in range(10):
        time.sleep(CACHE)  # now neither of them has it in its cache
        before, started = session_queries(cluster), time.monotonic()
        if statuses(cluster, cookie) != {200}:
            return False
        if session_queries(cluster) - before == 2 and time.monotonic() - started < CACHE:
            return True
    return False


def session_queries(cluster: Cluster) -> int:
    found = re.search(r"^lychgate_session_queries_total (\d+)", metrics(cluster), re.MULTILINE)
    assert found is not None
    return int(found[1])


def command(cluster: Cluster, *arguments: str) -> None:
    node = cluster.nodes[0]
    flask_command("sp", *arguments, env=node.env, folder=node.folder)


@pytest.mark.cluster
@pytest.mark.parametrize("arguments", [("users", "sign-out"), ("users", "disable")], ids=" ".join)
def test_an_end_counts_on_every_worker_within_the_cache_time(cluster: Cluster, arguments: tuple[str, ...]) -> None:
    email = f"{arguments[-1]}@example.com"
    cookie = sign_in(cluster, email)
    assert is_known_on_both_workers(cluster, cookie)
    command(cluster, *arguments, email)
    time.sleep(CACHE)
    assert statuses(cluster, cookie) == {401}


@pytest.mark.cluster
def test_the_worker_that_ends_a_session_need_not_be_the_one_that_knows_it(cluster: Cluster) -> None:
    cookie = sign_in(cluster, "self@example.com")
    assert is_known_on_both_workers(cluster, cookie)
    page = get(cluster, "/logout", cookie)
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page[2])
    assert token is not None
    form = next(c.partition(";")[0] for c in page[1] if c.startswith("sp_form="))
    connection = http.client.HTTPConnection("127.0.0.1", cluster.nodes[0].port, timeout=30)
    headers = {"Cookie": f"{cookie}; {form}", "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/logout", f"csrf_token={token[1]}", headers)
    assert connection.getresponse().status == 303
    connection.close()
    time.sleep(CACHE)
    assert statuses(cluster, cookie) == {401}


@pytest.mark.cluster
def test_a_group_that_is_taken_away_counts_on_every_worker(cluster: Cluster) -> None:
    cookie = sign_in(cluster, "leaver@example.com")
    for groups, status in (('["staff"]', 200), ("[]", 403)):
        change(cluster, "UPDATE account SET groups = :groups WHERE email = 'leaver@example.com'", groups=groups)
        time.sleep(CACHE)
        assert {get(cluster, "/staff/x", cookie)[0] for _ in range(ASKED)} == {status}


def change(cluster: Cluster, statement: str, **values: str) -> None:
    engine = create_engine(cluster.database_url)
    with engine.begin() as connection:
        connection.execute(text(statement), values)
    engine.dispose()


@pytest.mark.cluster
def test_the_counters_of_all_workers_are_told_by_whichever_is_asked(cluster: Cluster) -> None:
    def counted() -> int:
        found = re.search(r'lychgate_decisions_total\{skin="in process",verdict="sign in"\} (\d+)', metrics(cluster))
        return int(found[1]) if found else 0

    before = counted()
    for _ in range(ASKED):
        assert get(cluster, "/page")[0] == 401
    assert {counted() - before for _ in range(20)} == {ASKED}


def metrics(cluster: Cluster) -> str:
    return get(cluster, "/metrics")[2]
