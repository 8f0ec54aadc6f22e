"""A store that does not answer is not asked again for a while; one that answers, however slowly, is."""

from __future__ import annotations

import threading

import pytest

from shared.breaker import PLACES, STALL, STALL_WHEN_FULL, TEST_EVERY, Breaker, StoreHangs

PATIENCE = 2.5  # seconds after which a caller gives up


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def admits(breaker: Breaker) -> bool:
    try:
        breaker.admit()
    except StoreHangs:
        return False
    return True


def fail(breaker: Breaker, clock: Clock) -> None:
    ticket = breaker.asked()
    clock.now += PATIENCE
    breaker.gave_up(ticket)


def test_a_store_that_was_never_asked_is_not_in_trouble(breaker: Breaker) -> None:
    assert all(admits(breaker) for _ in range(100))
    breaker.check()


def test_a_store_that_answers_is_not_in_trouble(breaker: Breaker, clock: Clock) -> None:
    for _ in range(100):
        ticket = breaker.asked()
        clock.now += STALL * 2
        breaker.answered(ticket)
        assert admits(breaker)


def test_while_a_question_is_out_and_nothing_is_answered_one_request_a_second_is_let_through(
    breaker: Breaker, clock: Clock
) -> None:
    breaker.asked()
    clock.now += STALL
    assert [admits(breaker) for _ in range(5)] == [True, False, False, False, False]
    clock.now += TEST_EVERY
    assert [admits(breaker) for _ in range(2)] == [True, False]


def test_one_slow_question_is_no_trouble_while_others_are_answered(breaker: Breaker, clock: Clock) -> None:
    breaker.asked()
    for _ in range(20):
        clock.now += STALL / 2
        assert admits(breaker)
        breaker.answered(breaker.asked())


def test_the_test_that_is_answered_ends_the_trouble(breaker: Breaker, clock: Clock) -> None:
    breaker.asked()
    clock.now += STALL
    assert admits(breaker)
    breaker.answered(breaker.asked())
    assert all(admits(breaker) for _ in range(10))


def test_after_a_failure_requests_are_refused_at_once_until_one_is_answered(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, clock)
    assert not admits(breaker)
    clock.now += TEST_EVERY
    assert [admits(breaker) for _ in range(3)] == [True, False, False]
    fail(breaker, clock)
    assert not admits(breaker)
    clock.now += TEST_EVERY
    assert admits(breaker)
    breaker.answered(breaker.asked())
    assert all(admits(breaker) for _ in range(10))


def test_one_connection_that_hangs_does_not_condemn_a_store_that_answers_others(breaker: Breaker, clock: Clock) -> None:
    stuck = breaker.asked()
    clock.now += PATIENCE / 2
    breaker.answered(breaker.asked())
    clock.now += PATIENCE / 2
    breaker.gave_up(stuck)
    assert all(admits(breaker) for _ in range(10))


def test_when_every_place_is_taken_the_other_threads_wait_a_moment_only(breaker: Breaker, clock: Clock) -> None:
    for _ in range(PLACES):
        breaker.asked()
    assert admits(breaker)
    clock.now += STALL_WHEN_FULL
    assert not admits(breaker)
    with pytest.raises(StoreHangs):
        breaker.check()
    clock.now += TEST_EVERY
    assert not admits(breaker)  # not even as a test: the questions that are out are tests enough


def test_a_hung_store_never_holds_more_threads_than_there_are_places(breaker: Breaker, clock: Clock) -> None:
    out: list[tuple[float, int]] = []
    for step in range(2000):
        clock.now += 0.01
        for asked_at, ticket in [item for item in out if clock.now - item[0] >= PATIENCE]:
            breaker.gave_up(ticket)
            out.remove((asked_at, ticket))
        if admits(breaker) and len(out) < PLACES:  # the pool has no more connections
            out.append((clock.now, breaker.asked()))
        assert len(out) <= PLACES
        if step > 600:
            assert len(out) <= PATIENCE / TEST_EVERY + 1


def test_of_many_threads_one_is_the_test(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, clock)
    clock.now += TEST_EVERY
    ready, admitted = threading.Barrier(16), []

    def ask() -> None:
        ready.wait(10)
        if admits(breaker):
            admitted.append(threading.get_ident())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(admitted) == 1


def test_within_asking_a_timeout_opens_the_breaker_and_an_error_of_the_store_does_not(
    breaker: Breaker, clock: Clock
) -> None:
    with pytest.raises(ValueError, match="refused"), breaker.asking((TimeoutError,)):
        raise ValueError("refused")
    assert admits(breaker)
    with pytest.raises(TimeoutError), breaker.asking((TimeoutError,)):
        raise TimeoutError
    with pytest.raises(StoreHangs), breaker.asking((TimeoutError,)):
        pytest.fail("the store was asked all the same")
    clock.now += TEST_EVERY
    with breaker.asking((TimeoutError,)):
        pass
    assert admits(breaker)
