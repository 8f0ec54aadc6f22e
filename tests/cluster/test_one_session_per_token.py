"""Of many requests that race with one token exactly one opens a session, whatever happens to the processes."""

import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.cluster import FAILED, OPENED, REPLAYED, Cluster, running_cluster, send_at_once

pytestmark = pytest.mark.cluster

TOKENS = 40
COPIES = 24
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
        node = cluster.nodes[0]

        def kill_workers_now_and_then(number: int) -> None:
            if number % 10 == 5:
                time.sleep(0.01)  # the copies are under way by then
                for pid in node.worker_pids:
                    os.kill(pid, signal.SIGKILL)

        first = send_at_once(cluster, tokens, COPIES, kill_workers_now_and_then)
        node.kill()
        node.start()
        second = send_at_once(cluster, tokens, COPIES)
        assert_one_session_each(cluster)
    opened = [Counter([*early, *late])[OPENED] for early, late in zip(first, second, strict=True)]
    assert max(opened) == 1
    assert FAILED in {outcome for of_one_token in first for outcome in of_one_token[1:]}, "no request was cut off"
    assert {outcome for of_one_token in second for outcome in of_one_token} <= {OPENED, REPLAYED}


def tokens_for_people(cluster: Cluster) -> list[str]:
    return [cluster.token(f"person-{number % PEOPLE}@example.com") for number in range(TOKENS)]


def assert_one_session_each(cluster: Cluster) -> None:
    assert cluster.count("session") == TOKENS
    assert cluster.count("spent_token") == TOKENS
    assert cluster.count("account") == PEOPLE
    assert cluster.count("activity", "event = 'sign_in'") == TOKENS
