"""The threads that answer requests, with clients that wait in memory: whom they give up, and how many they become."""

import threading
import time

import pytest

from shared import threads
from shared.threads import Threads

SIZE, SPARE, SECONDS = 2, 3, 20


class Waiting:
    """A client that is waited for until it is given up, or everything ends."""

    def __init__(self, behind: float = 0.0) -> None:
        self.behind, self.given_up, self.woken = behind, threading.Event(), threading.Event()

    def slowness(self) -> float:
        return self.behind

    def give_up(self) -> None:
        self.given_up.set()
        self.woken.set()


@pytest.fixture(autouse=True)
def few_spare_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "SPARE", SPARE)


def keep_waiting(pool: Threads, client: Waiting) -> None:
    """Have a thread wait for *client*."""
    begun = threading.Event()

    def task() -> None:
        with pool.waiting_for(client):
            begun.set()
            client.woken.wait(SECONDS)

    pool.submit(task)
    assert begun.wait(SECONDS)


def test_the_client_that_is_slowest_in_all_is_given_up() -> None:
    """Neither the one that is waited for since longest, nor the newest."""
    pool, clients = Threads(SIZE), [Waiting(behind) for behind in (1.0, 9.0, 2.0, 3.0)]
    for client in clients:
        keep_waiting(pool, client)
    assert [client.given_up.is_set() for client in clients] == [False, True, False, False]
    newest = Waiting(10.0)
    keep_waiting(pool, newest)
    assert newest.given_up.is_set()
    for client in clients:
        client.woken.set()


def test_attack_a_burst_of_slow_clients_starts_no_more_threads_than_the_bound() -> None:
    before = {thread for thread in threading.enumerate() if thread.name.startswith("request-")}
    pool, clients = Threads(SIZE), [Waiting() for _number in range(10 * SPARE)]
    for client in clients:
        keep_waiting(pool, client)
    started = {thread for thread in threading.enumerate() if thread.name.startswith("request-")} - before
    for client in clients:
        client.woken.set()
    assert len(started) <= SIZE + SPARE


def test_after_a_burst_as_many_are_at_work_as_before() -> None:
    pool, clients = Threads(SIZE), [Waiting() for _number in range(10 * SPARE)]
    for client in clients:
        keep_waiting(pool, client)
    for client in clients:
        client.woken.set()
    at_work, most, lock, done = 0, 0, threading.Lock(), threading.Semaphore(0)

    def task() -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(0.05)
        with lock:
            at_work -= 1
        done.release()

    for _number in range(20):
        pool.submit(task)
    assert all(done.acquire(timeout=SECONDS) for _number in range(20))
    assert most >= SIZE
    most = 0
    for _number in range(20):
        pool.submit(task)
    assert all(done.acquire(timeout=SECONDS) for _number in range(20))
    assert most == SIZE
