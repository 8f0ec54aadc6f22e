"""Of many requests that race with one token, exactly one opens a session, even if processes are killed."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cluster import FAILED, OPENED, REPLAYED, Cluster, running_cluster, send_at_once
from tests.support.stores import PostgreSQL, Redis

pytestmark = pytest.mark.cluster

TOKENS = 40
COPIES = 24
KILLS = 2
PEOPLE = 8  # so that first sign-ins of one person race as well


def test_forty_tokens_sent_24_times_at_once_to_two_workers_open_forty_sessions(tmp_path: Path) -> None:
    with running_cluster(tmp_path, workers=2) as cluster:
        outcomes = send_at_once(cluster, tokens_for_people(cluster), COPIES)
        assert_one_session_each(cluster)
    for of_one_token in outcomes:
        assert Counter(of_one_token) == {OPENED: 1, REPLAYED: COPIES - 1}


def test_killing_the_workers_in_the_middle_and_starting_again_changes_nothing_about_that(tmp_path: Path) -> None:
    with running_cluster(tmp_path, workers=2) as cluster:
        tokens = tokens_for_people(cluster)
        first = send_at_once(cluster, tokens, COPIES, kill_workers_now_and_then(cluster))
        (node,) = cluster.nodes
        node.kill()
        node.start()
        second = send_at_once(cluster, tokens, COPIES)
        assert_one_session_each(cluster)
    assert max(Counter(of_one_token)[OPENED] for of_one_token in add(first, second)) == 1
    assert FAILED in {outcome for of_one_token in first for outcome in of_one_token[1:]}, "no request was cut off"
    late = {outcome for of_one_token in second for outcome in of_one_token}
    # On a busy machine a copy may wait too long for its turn: then it is told so, and nothing has happened.
    assert {outcome for outcome in late if "code=store_unavailable" not in outcome} <= {OPENED, REPLAYED}


def test_two_nodes_on_postgresql_open_forty_sessions_though_workers_are_killed(
    tmp_path: Path, postgresql: PostgreSQL
) -> None:
    with running_cluster(tmp_path, nodes=2, env={"SP_DATABASE_URL": postgresql.create_database()}) as cluster:
        tokens = tokens_for_people(cluster)
        outcomes = send_at_once(cluster, tokens, COPIES, kill_workers_now_and_then(cluster))
        outcomes = add(outcomes, send_at_once(cluster, tokens, COPIES))
        assert_one_session_each(cluster)
    assert max(Counter(of_one_token)[OPENED] for of_one_token in outcomes) == 1


def test_two_nodes_with_spent_tokens_in_redis_open_forty_sessions(
    tmp_path: Path, postgresql: PostgreSQL, redis_server: Redis
) -> None:
    stores = {"SP_DATABASE_URL": postgresql.create_database(), "SP_REPLAY_URL": redis_server.url}
    with running_cluster(tmp_path, nodes=2, env=stores) as cluster:
        outcomes = send_at_once(cluster, tokens_for_people(cluster), COPIES)
        assert_one_session_each(cluster, spent=0)
    for of_one_token in outcomes:
        assert Counter(of_one_token) == {OPENED: 1, REPLAYED: COPIES - 1}


def test_with_redis_a_kill_of_the_workers_never_lets_a_token_in_twice(
    tmp_path: Path, postgresql: PostgreSQL, redis_server: Redis
) -> None:
    """Redis has no part in the database's transaction: a worker that dies between the two leaves a token spent for
    nothing, and its person signs in again. The other way round, a session without a spent token, must not be."""
    stores = {"SP_DATABASE_URL": postgresql.create_database(), "SP_REPLAY_URL": redis_server.url}
    with running_cluster(tmp_path, nodes=2, env=stores) as cluster:
        tokens = tokens_for_people(cluster)
        send_at_once(cluster, tokens, COPIES, kill_workers_now_and_then(cluster))
        send_at_once(cluster, tokens, COPIES)
        assert cluster.count("session") <= TOKENS
        assert cluster.count("session") == cluster.count("activity", "event = 'sign_in'")
        assert cluster.count("session") >= TOKENS - KILLS


def kill_workers_now_and_then(cluster: Cluster) -> Callable[[int], None]:
    """Return what kills all workers of all nodes, with kill -9, while some of the tokens are under way."""

    def kill(number: int) -> None:
        if number % (TOKENS // KILLS) == 5:
            time.sleep(0.01)  # the copies are under way by then
            for node in cluster.nodes:
                for pid in node.worker_pids:
                    os.kill(pid, signal.SIGKILL)

    return kill


def add(first: list[list[str]], second: list[list[str]]) -> list[list[str]]:
    """Return the outcomes of two rounds, token by token."""
    return [[*early, *late] for early, late in zip(first, second, strict=True)]


def tokens_for_people(cluster: Cluster) -> list[str]:
    return [cluster.token(f"person-{number % PEOPLE}@example.com") for number in range(TOKENS)]


def assert_one_session_each(cluster: Cluster, spent: int = TOKENS) -> None:
    assert cluster.count("session") == TOKENS
    assert cluster.count("spent_token") == spent
    assert cluster.count("account") == PEOPLE
    assert cluster.count("activity", "event = 'sign_in'") == TOKENS
